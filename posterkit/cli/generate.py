"""`posterkit generate`: one poster from a prompt, or again from a poster's own record."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posterkit import __version__
from posterkit.arguments import whole
from posterkit.cli import options
from posterkit.messages import printable
from posterkit.sizing import Size
from posterkit.tasks import MOST_CANDIDATES
from posterkit.typeset.export_options import DEFAULTS, ExportOptions

if TYPE_CHECKING:
    from posterkit import PosterRequest
    from posterkit.llm.principle import Principle


def add_options(command: argparse.ArgumentParser) -> None:
    options.add_output_options(command)
    options.add_poster_options(command)
    command.add_argument("prompt", nargs="?", metavar="PROMPT", help="what to show; quoted parts are texts")
    command.add_argument("--from-image", type=Path, metavar="POSTER", help="make this poster again from its record")
    how = 'enrich the prompt first: "rules", the URL of an OpenAI-compatible endpoint, or a local model folder'
    command.add_argument("--expand", metavar="HOW", help=how)
    options.add_steering_options(command, "a local model of --expand, --critic or --planner")
    group = command.add_argument_group("a second look")
    rounds = "redraw it by a critic's suggestions, at most N times, as long as the reward likes it better"
    group.add_argument("--refine", type=whole(1, MOST_CANDIDATES), metavar="N", help=rounds)
    who = "who suggests: rules (default), a folder or an endpoint of a model that sees"
    group.add_argument("--critic", metavar="SPEC", help=who)


def run(args: argparse.Namespace) -> int:
    """Make the poster and write it."""
    options.check_reward(args, several=(args.best_of or 1) > 1 or bool(args.refine))
    if args.critic and not args.refine:
        raise ValueError("--critic suggests what --refine N shall change; say how many rounds")
    settings, changes = options.settings_of(args), options.request_of(args)
    principle = settings.get("principle")
    outputs = options.output_paths(args, [args.from_image])

    from posterkit.schema import PosterRequest

    request, record = PosterRequest(id="generate"), None
    if args.from_image:
        from posterkit.generate.record import check_models, request_from_poster

        request, recorded, record = request_from_poster(args.from_image)
        options.output_paths(args, [*request.images, request.mask])
        check_models(args.from_image, recorded, request.lora, asked=settings)
        settings = vars(recorded) | settings
    if size := (sized := options.size_of(args)).get("size"):
        size = Size(size.width or request.width, size.height or request.height)  # type: ignore[arg-type]
        changes |= {"size": size, "sheet": sized.get("sheet")}
    if args.prompt is not None:
        changes |= {"prompt": args.prompt, "expanded": None}
    if request.feedback and changes:
        _note("a changed poster is drawn anew, without the suggestions that refined the old one")
        changes["feedback"] = ()
    request = replace(request, refine=args.refine, **changes)
    if kit := options.brand_kit(args):
        request = kit.applied(request)
    if record is None and not (request.prompt.strip() or request.texts):
        raise ValueError("generate needs a PROMPT, --text or --from-image")
    request.check()
    if args.expand:
        by = principle if args.expand != "rules" else None
        request = replace(request, expanded=_expanded(request.prompt, args.expand, settings.get("device"), by))
    return make_and_save(request, settings, outputs, record, options.export_options(args))


def make_and_save(
    request: PosterRequest,
    settings: dict[str, Any],
    outputs: Sequence[Path],
    record: dict[str, Any] | None = None,
    how: ExportOptions = DEFAULTS,
) -> int:
    """Make a poster, write it to each of the files, and say what was chosen.

    Args:
        record: of the poster that is made again.
    """
    from posterkit.cli.info import choice_summary
    from posterkit.cli.progress import Steps

    _check_words(request, settings)
    from posterkit.generate.maker import PosterMaker

    with Steps() as shown:
        maker = PosterMaker(**settings)
        if record is not None:
            _compare(record, maker.checkpoint(request.task).revision)
        poster = maker(request, shown)
    for line in poster.notes:
        _note(line)
    for path in options.save_to(outputs, poster.record["id"], partial(poster.save, how=how)):
        print(f"{path}  {poster.request.size}, seed {poster.seed}")
    for line in choice_summary(poster.record):
        print(printable(line))
    return 0


def _check_words(request: PosterRequest, settings: dict[str, Any]) -> None:
    """Refuse what cannot be typeset before anything heavy is loaded; ValueError as `settle`."""
    model = settings.get("model") or "mini"
    if settings.get("draw_text") or (settings.get("draw_text") is None and model.partition(":")[0] != "mini"):
        return
    from posterkit.prompts import PosterBrief
    from posterkit.typeset.texts import settle

    brief = PosterBrief.from_prompt(request.prompt, request.texts or ())
    if brief.texts:
        lettering = request.lettering
        settle(brief, None, style=lettering.style, fonts=lettering.fonts, roles=lettering.roles_of(brief.texts),
               align=lettering.align, archetype=lettering.layout, colors=lettering.colors)  # fmt: skip


def _compare(record: dict[str, Any], revision: str) -> None:
    """Say what differs from when a poster was made, since then it will not come out the same."""
    was = record["model"].get("revision")
    if was != revision:
        _note(f"{record['model']['name']} is another revision now ({revision}, was {was}): the poster will differ")
    if record.get("posterkit") != __version__:
        _note(f"made by posterkit {record.get('posterkit')}, this is {__version__}: the poster may differ")


def _expanded(prompt: str, how: str, device: str | None, principle: Principle | None) -> str | None:
    """The prompt, expanded by rules or where the poster is drawn; None, and a note, where a quoted text would go."""
    from posterkit.pipelines.presets import hardware
    from posterkit.prompts.expansion import expand_prompt

    steered: dict[str, Any] = {"principle": principle} if principle else {}
    made = expand_prompt(prompt, how, device=str(hardware(device).device), **steered)
    return made.prompt if made.used else None


def _note(line: str) -> None:
    from posterkit.cli.progress import note

    note(line)
