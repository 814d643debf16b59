"""List and train the models that the notebooks use (data/zoo.yaml).

examples:
  paperlib zoo status                 every model: is it trained, by which recipe, how good
  paperlib zoo status --readme        write the accuracies into data/README.md as well
  paperlib zoo train --missing        train what is missing; a killed run goes on where it stopped
  paperlib zoo train 'synth_ssv2/*'   train these anew; a checkpoint is replaced only by a better one
"""


def arguments(parser):
    """Declare `status` and `train`."""
    actions = parser.add_subparsers(dest="action", metavar="status|train", required=True)
    status = actions.add_parser("status", help="list every model: trained or not, by which recipe, how good")
    train = actions.add_parser("train", help="train models, then list them")
    for action in (status, train):
        action.add_argument("names", nargs="*", help="models or globs, e.g. 'synth_ssv2/*-R50-*' (default: all)")
    status.add_argument("--readme", action="store_true", help="write the accuracies into data/README.md as well")
    train.add_argument("--missing", action="store_true", help="only what has no checkpoint by the listed recipe")
    train.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")


def main(args):
    """Print the table; train first if asked to."""
    from ..training import zoo

    if args.action == "train":
        zoo.train(zoo.select(args.names, args.missing), args.device)
    table = zoo.status()
    if args.action == "status" and args.readme:
        write_readme(table)
    if args.names:
        table = table[table.model.isin(zoo.select(args.names))]
    print(table.to_string(index=False, na_rep="-"))


def write_readme(table):
    """Put the table of trained models, as of `zoo.status`, into data/README.md."""
    from ..companion import readme
    from ..storage import paths, zoo_lists
    from ..training import zoo

    file = zoo_lists.location().with_name("README.md")
    text = readme.put(file.read_text(encoding="utf-8"), "zoo", zoo.markdown(table) + "\n", file)
    with paths.atomic(file) as temporary:
        temporary.write_text(text, encoding="utf-8")
