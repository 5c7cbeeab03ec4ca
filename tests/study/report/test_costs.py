"""What pruning costs, from cost.csv, conventions.csv and timings.csv."""

import io

import pandas as pd

from vtstudy.report.costs import costs

COST = """model,method,keep,image_tokens,kept_tokens,other_tokens,flops,flops_saved_percent,cache_bytes,\
cache_saved_percent
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


def table(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text))


def test_the_table_has_the_rows_of_table_3():
    shown = costs({"cost.csv": table(COST)})
    assert [line[1:3] for line in shown.lines] == [
        ("Unpruned", "576 of 576"),
        ("FastV", "57 of 576"),
        ("VTW", "0 of 576"),
    ]
    assert shown.lines[1][3:] == ("2.41", "72.9 %", "80", "76.0 %") and len(shown.heads) == len(shown.lines[0])
    assert "64 for LLaVA-1.5-7B" in shown.sentences[0]


def test_the_way_of_counting_that_fits_most_models_is_named():
    (sentence,) = costs({"conventions.csv": table(CONVENTIONS)}).sentences
    assert "2 of 2 models" in sentence and "before the first layer" in sentence and "layer 2" not in sentence
    (sentence,) = costs({"conventions.csv": table(CONVENTIONS).assign(agrees="no")}).sentences
    assert "None of 2" in sentence


def test_times_are_ratios_end_to_end():
    (sentence,) = costs({"timings.csv": table(TIMINGS)}).sentences
    assert "batch 8" in sentence and "FastV 1.47 (1.33 to 1.58)" in sentence
    assert "0.79" not in sentence and "9.0" not in sentence


def test_nothing_is_said_of_what_was_not_run():
    shown = costs({})
    assert not shown.lines and not shown.sentences
