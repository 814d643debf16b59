"""How networks came by their weights: recipes, training, checkpoints, the zoo, and how well they do.

`train.run(recipe)` trains one network; `zoo` lists those that the notebooks need (`data/zoo.yaml`), `crew.train` trains
several of them at a time, `progress` says how far they are and pauses them, `zoo_table` shows what came of it and
`convergence` whether it took long enough. `checkpoints.load("<dataset>/<name>")` opens one; `evaluation` scores it;
`adopted` provides those that others published; `folds` hold people out; `parallel` uses several GPUs.

May import: models, tracing, data, convolution, storage, errors.
"""

from . import adopted, checkpoints

checkpoints.PROVIDERS.append(adopted.provide)
