"""What pruning costs, as the report tells it from cost.csv, conventions.csv and timings.csv."""

import io
from types import SimpleNamespace

import pandas as pd

from vtstudy.report.costs import costs


def _read(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text), dtype=str)


COST = """model,method,keep,image_tokens,kept_tokens,other_tokens,flops,flops_saved_percent,cache_bytes,cache_saved_percent
LLaVA-1.5-7B,baseline,1.0,576,576,64,8910375321600,0.00,335544320,0.00
LLaVA-1.5-7B,fastv,0.5,576,288,64,5272912363520,40.82,193986560,42.19
LLaVA-1.5-7B,fastv,0.1,576,57,64,2414341554176,72.90,80422912,76.03
LLaVA-1.5-7B,vtw,,576,0,64,2436316102656,72.66,80740352,75.94
"""
CONVENTIONS = """layer,mlp,attention,scope,model,agrees
0,plain,none,prompt,A,yes
0,plain,none,prompt,B,yes
2,plain,causal,model,A,no
2,plain,causal,model,B,yes
"""
TIMINGS = """model,method,keep,batch,quantity,median,quartile_low,quartile_high,rounds
miniature,fastv,0.1,8,speedup_end_to_end,1.47,1.33,1.58,7
miniature,adaptprune_loop,0.1,8,speedup_end_to_end,0.79,0.70,0.90,7
miniature,fastv,0.1,8,speedup_decode,9.0,9.0,9.0,7
"""


def test_rows_of_table_3_and_no_others():
    found = costs(SimpleNamespace(tables={"cost.csv": _read(COST)}))
    assert [line[1:3] for line in found.lines] == [
        ("Unpruned", "576 of 576"),
        ("FastV", "57 of 576"),
        ("VTW", "0 of 576"),
    ]
    assert found.lines[1][3:] == ("2.41", "72.9 %", "80", "76.0 %") and len(found.heads) == len(found.lines[0])
    assert "64 for LLaVA-1.5-7B" in found.sentences[0]


def test_the_way_of_counting_that_fits_most_models():
    (told,) = costs(SimpleNamespace(tables={"conventions.csv": _read(CONVENTIONS)})).sentences
    assert (
        "2 of 2 models" in told
        and "pruned before the first layer, no FLOPs of attention itself, the whole prompt" in told
        and "layer 2" not in told
    )
    (told,) = costs(SimpleNamespace(tables={"conventions.csv": _read(CONVENTIONS).assign(agrees="no")})).sentences
    assert told.startswith("None of 2 ways")


def test_times_are_ratios_of_whole_answers():
    (told,) = costs(SimpleNamespace(tables={"timings.csv": _read(TIMINGS)})).sentences
    assert "batch 8" in told and "FastV 1.47 (1.33 to 1.58)" in told and "0.79" not in told and "9.0" not in told


def test_nothing_is_said_of_what_was_not_run():
    found = costs(SimpleNamespace(tables={}))
    assert not found.lines and not found.sentences
