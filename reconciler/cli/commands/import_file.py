"""``netrecon import compose``: converts the files of a Docker Compose project to a topology and prints it."""

from __future__ import annotations

from reconciler.cli.exit_codes import OK
from reconciler.cli.parsing import Options, Parser


def options(parser: Parser) -> None:
    parser.intermixed = True

    def add(*names: str, metavar: str, text: str, dest: str | None = None) -> None:
        parser.add_argument(*names, action="append", default=[], metavar=metavar, help=text, dest=dest)

    parser.add_argument("format", choices=("compose",), help="compose: a Docker Compose project")
    text = "Compose files, later ones over earlier ones; - is standard input; without any, those in COMPOSE_FILE"
    parser.add_argument("files", nargs="*", metavar="FILE", help=text)
    add("-f", "--file", metavar="FILE", text="the same, before the other files", dest="first_files")
    add("--env-file", metavar="FILE", text="variables, instead of the .env beside the first file")
    add("--profile", metavar="NAME", text="take the services of this profile too; '*': of all")
    parser.add_argument("-p", "--project-name", default="", metavar="NAME", help="the project's name")
    parser.add_argument("--strict", action="store_true", help="exit 2 where something of the network has no equivalent")
    text = "the network of a topology that an external network of the files is"
    add("--external", metavar="NAME=TOPOLOGY/NETWORK", text=text)


def run(options: Options) -> int:
    from reconciler.cli import as_json, as_text, yaml_writer
    from reconciler.run import load

    files = [*options.first_files, *options.files]
    imported = load.import_compose(files, options.env_file, options.profile, options.project_name)
    if options.json:
        listed = {word: as_json.rows(getattr(imported, word)) for word in ("left_out", "warnings")}
        as_json.write({"format": 1, "command": "import", "topology": imported.topology, **listed})
        return OK
    yaml_writer.print_topologies([imported.topology])
    if not options.quiet:
        as_text.print_problems(sorted({*imported.warnings, *imported.left_out}))
    return OK
