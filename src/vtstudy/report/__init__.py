"""The report: every published number beside ours, verdicts on the papers' claims, charts; all text made from numbers.

`vtstudy.report.build.build_report` writes it, and `vtstudy.report.notebooks.render_notebooks` writes the notebooks as
pages. Nothing here imports the evaluation or the experiments: the report reads their files. Nothing is imported here
either, so that the notebooks' kernels, which only make tables, need not load what draws.
"""
