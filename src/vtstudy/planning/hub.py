"""The Hugging Face Hub, asked before anything is fetched: may a repository be read, and how large are its files?"""

from vtstudy.fetching.hub import FetchError, Kind, Repository, UnreachableError, repository


class Hub:
    """Remembers what the Hub answered. Once it is out of reach it is not asked again.

    Args:
        ask: whether to ask at all; without it the Hub counts as out of reach.
    """

    def __init__(self, ask: bool = True) -> None:
        self.unreachable: str | None = None if ask else "the Hub was not asked"
        self._answers: dict[tuple[Kind, str, str], Repository | FetchError] = {}

    def repository(self, kind: Kind, identifier: str, revision: str = "main") -> Repository | None:
        """The repository with its files; None if it cannot be read, or the Hub is out of reach.

        `problem` and `unreachable` say why.
        """
        answer = self._ask(kind, identifier, revision)
        return answer if isinstance(answer, Repository) else None

    def problem(self, kind: Kind, identifier: str, revision: str = "main") -> str | None:
        """Why a repository cannot be read, in a sentence that says what to do; None if it can, or nobody knows."""
        answer = self._ask(kind, identifier, revision)
        return str(answer) if isinstance(answer, FetchError) else None

    def _ask(self, kind: Kind, identifier: str, revision: str) -> Repository | FetchError | None:
        key = kind, identifier, revision
        if key not in self._answers and self.unreachable is None:
            try:
                self._answers[key] = repository(kind, identifier, revision)
            except UnreachableError as error:
                self.unreachable = str(error)
            except FetchError as error:
                self._answers[key] = error
        return self._answers.get(key)
