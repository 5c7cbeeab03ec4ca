"""Models and data sets from the Hugging Face Hub, in local folders that the pipeline depends on."""
