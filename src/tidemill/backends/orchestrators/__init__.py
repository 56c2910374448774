"""Those that run or keep the steps of a training in their own form; each file is one of them."""
