"""`mlflow.pyfunc` opens a bundle through this module (`loader_module`); no pickled Python object is involved."""
