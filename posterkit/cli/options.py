"""Options that commands share, and what they mean. Loads nothing but tables, so that --help is quick."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from posterkit.arguments import typed, whole
from posterkit.lettering import ALIGNS, AUTO, LAYOUTS, PLACES, PLANNERS, ROLES, STYLES, Lettering, is_place, parse_box
from posterkit.paper import DPI, parse_length, sized
from posterkit.sizing import MAX_SIDE, Size
from posterkit.tasks import ANCHORS, MOST_CANDIDATES
from posterkit.typeset.export_options import ExportOptions, SigningKey
from posterkit.typeset.exporters import ENDINGS, EXPORTERS, LAYERED, check_export, ending_of

if TYPE_CHECKING:
    from posterkit.llm.principle import Principle
    from posterkit.typeset.brand_kit import BrandKit

_DTYPES = ("float32", "bfloat16", "float16")
_guidance = typed(float, "a number from 0 to 100", lambda value: 0 <= value <= 100)
_place = typed(str, f"one of {', '.join(PLACES)}, or x0,y0,x1,y1", is_place)
_length = typed(parse_length, "a length of at most 50 mm, such as 3mm or 0.125in")
_share = typed(float, "a number above 0 and at most 1", lambda value: 0 < value <= 1)


def add_output_options(options: argparse.ArgumentParser) -> None:
    """The files of one poster."""
    add = options.add_argument_group("output").add_argument
    endings = f".png (default poster.png), {', '.join(ENDINGS)}; repeat for more"
    add("-o", "--output", type=Path, action="append", metavar="FILE", help=endings)
    for ending in LAYERED:
        add(f"--{ending[1:]}", type=Path, metavar="FILE", help=f"also as {EXPORTERS[ending].title}")
    add_print_options(options)


def add_print_options(options: argparse.ArgumentParser) -> None:
    """The sheet of paper that a poster is, and how a press prints it."""
    # fmt: off
    add = options.add_argument_group("print").add_argument
    add("--size", metavar="SIZE",
        help="a3, letter, b2-landscape, instagram-story, 297x420mm, 24x36in or 1080x1920, once it is cut")
    add("--dpi", type=whole(*DPI), metavar="N",
        help="pixels an inch (default: 300 up to A3 and 150 for larger sheets; of a picture in pixels those that make "
             "it a sheet of paper, else 96; large: 300)")
    add("--bleed", type=_length, metavar="LENGTH", help="picture beyond the cut edge: 3mm, 0.125in")
    add("--safe", type=_length, metavar="LENGTH", help="what texts leave free inside the cut edge: 5mm, 0.25in")
    # fmt: on
    add_export_options(add)


def add_export_options(add: Callable[..., Any]) -> None:
    """How files are written, whatever stands in them."""
    # fmt: off
    add("--marks", action="store_true", help="crop marks around the page of a PDF")
    add("--cmyk", type=Path, metavar="PROFILE",
        help="a press's ICC profile: PDFs are PDF/X-4 in its inks, a NAME.proof.png shows them (needs "
             "posterkit[print])")
    add("--cutout", action="store_true", help="a PSD has the picture's subject as a layer, if its outline is clear")
    add("--whole-fonts", action="store_true", help="an SVG embeds its fonts whole, for texts in any language")
    add("--c2pa", type=Path, nargs=2, metavar=("CHAIN", "KEY"),
        help="sign content credentials with your certificate chain and private key, PEM files; for PNG, JPEG, WebP, "
             "SVG and PDF (needs posterkit[c2pa])")
    # fmt: on


def export_options(args: argparse.Namespace) -> ExportOptions:
    """How a call's files are written; ValueError where they cannot be signed as it says."""
    key = SigningKey(*args.c2pa) if args.c2pa else None
    if key:
        from posterkit.safety.content_credentials import check_signing_key

        check_signing_key(key)
    return ExportOptions(getattr(args, "dpi", None), args.cmyk, args.marks, args.whole_fonts, signing=key)


def size_of(args: argparse.Namespace) -> dict[str, Any]:
    """What the call says of a request's size and sheet; ValueError as `posterkit.paper.sized`."""
    sides = getattr(args, "width", None), getattr(args, "height", None)  # typeset has none
    size, sheet = sized(args.size, *sides, args.dpi, args.bleed, args.safe)
    given = {"size": size and Size(*size), "sheet": sheet}  # type: ignore[arg-type]
    return {name: value for name, value in given.items() if value is not None}


def add_poster_options(options: argparse.ArgumentParser) -> None:
    """What posters have in common, whatever makes them."""
    # fmt: off
    group = options.add_argument_group("the poster")
    add = group.add_argument
    add("--width", type=whole(16, MAX_SIDE), metavar="PX", help="finished width (default 832)")
    add("--height", type=whole(16, MAX_SIDE), metavar="PX", help="finished height (default 1216)")
    add("--seed", type=whole(0, 2**63 - 1), help="the same seed makes the same poster")
    add("--steps", type=whole(1, 1000), help="denoising steps (default: the checkpoint's)")
    add("--guidance", type=_guidance, help="how closely to follow the prompt (default: the checkpoint's)")
    add("--negative-prompt", metavar="TEXT", help="what to stay away from (FLUX.1: takes twice as long)")
    add("--draft", metavar="DRAFT",
        help="what is painted over: auto draws the prompt (mini's default), none begins from noise, or a picture")
    add("--strength", type=_share, metavar="SHARE",
        help="how much of the draft is painted anew, above 0 and at most 1")
    add("--upscaler", metavar="FILE",
        help="what enlarges the drawing: none, or a .safetensors file (default: the checkpoint's own)")
    add("--native", action="store_true", help="keep the size that the model draws; enlarge nothing")
    add = group.add_mutually_exclusive_group().add_argument
    add("--draw-text", "--no-typeset", dest="draw_text", action="store_true", default=None,
        help="let the diffusion model draw the texts")
    add("--typeset", dest="draw_text", action="store_false", default=None,
        help="set the texts in real fonts (the default with mini)")
    add_lettering_options(options)
    add_safety_options(options)
    add = options.add_argument_group("the best of several").add_argument
    add("--best-of", type=whole(1, MOST_CANDIDATES), metavar="N",
        help="draw N posters from seeds one after the other, keep the best")
    # fmt: on
    add_reward(add)
    add_model_options(options)


def add_reward(add: Callable[..., Any]) -> None:
    chooser = (
        "what says which is best: rules (default), a part such as text, text:0.6+aesthetics:0.4, a YAML file of "
        "weights, a reward model's folder, or a URL"
    )
    add("--reward", metavar="SPEC", help=chooser)


def add_model_options(options: argparse.ArgumentParser) -> None:
    """The model that draws, and where it runs."""
    add = options.add_argument_group("the model").add_argument
    # fmt: off
    add("--model", metavar="MODEL", help="a diffusers folder or hub id (default: the shipped mini)")
    add("--transformer", metavar="MODEL", help="take the transformer from here")
    add("--lora", action="append", metavar="LORA",
        help="a LoRA: a file, a folder or a hub id, then @REVISION, :FILE and *WEIGHT where wanted; repeat for more")
    add("--sampler", metavar="NAME", help="steps, guidance and shift for a few-step LoRA, such as lightning8")
    add("--preset", help="memory preset (default: chosen by the hardware)")
    add("--device", help="cpu, cuda, cuda:1, mps (default: the best there is); batch: cuda:0,cuda:1")
    add("--dtype", choices=_DTYPES, help="default: by device and preset")
    # fmt: on


def add_lettering_options(options: argparse.ArgumentParser) -> None:
    """The texts and how they are set."""
    add = options.add_argument_group("the texts").add_argument
    # fmt: off
    add("--text", action="append", metavar="TEXT",
        help="a text on the poster; repeat for more, title first, or mark it: --text @title:-70%%")
    add("--role", action="append", choices=(*ROLES, AUTO), metavar="ROLE",
        help=f"one per text, in their order: {', '.join(ROLES)}, or {AUTO}")
    add("--style", choices=STYLES, metavar="STYLE", help=f"the faces: {', '.join(STYLES)}")
    add("--font", action="append", metavar="FONT",
        help="your own .ttf or .otf, or a shipped family; repeat for more")
    add("--color", action="append", metavar="COLOR",
        help="a name or #rrggbb: first of the title, second of the other texts, third of the button")
    add("--align", choices=ALIGNS, metavar="SIDE", help=", ".join(ALIGNS))
    add("--layout", choices=LAYOUTS, metavar="LAYOUT", help=f"the arrangement: {', '.join(LAYOUTS)}")
    add("--box", action="append", type=_box, metavar="X0,Y0,X1,Y1",
        help="where a text stands, one per text, in pixels of the poster or per cent: 5%%,5%%,60%%,40%%")
    add("--logo", metavar="FILE", help="your logo, pasted as it is; a PNG with a transparent ground, best of all")
    add("--logo-at", type=_place, metavar="PLACE",
        help="bottom-right and the like, or X0,Y0,X1,Y1 as for --box (default: the calmest free place)")
    add("--qr", metavar="WORDS", help="a QR code of an address or other words, with its quiet zone")
    add("--qr-at", type=_place, metavar="PLACE", help="as --logo-at")
    add("--visible-mark", nargs="?", const="Made with AI", metavar="TEXT",
        help="a small line in a corner (default: Made with AI); the last option, or before another one")
    add("--planner", metavar="NAME",
        help=f"what places the texts: {', '.join(PLANNERS)}; llm and cot with their model: cot:URL_OR_FOLDER")
    add("--regional", action="store_true", default=None,
        help="the model follows the plan while it draws from noise: calm where texts stand, the subject in its box")
    add("--plan", type=Path, metavar="FILE", help="says where texts stand: a plan (.json, .svg), or a poster")
    # fmt: on


def add_safety_options(options: argparse.ArgumentParser) -> None:
    """What the gate does about harmful words, and what files say of themselves."""
    add = add_gate_options(options)
    # fmt: off
    add("--brand", action="append", metavar="KIT_OR_NAME",
        help="a brand kit (.yaml: palette, fonts, logo, margin, voice), or a name that the rewriter keeps; repeat")
    # fmt: on
    add_metadata(add)


def add_metadata(add: Callable[..., Any]) -> None:
    """The level of what files say of themselves."""
    said = (
        "what a poster's file says of itself: all that makes it again (full, the default), only where it comes from "
        "(label), or nothing (none)"
    )
    add("--metadata", choices=("none", "label", "full"), help=said)


def add_gate_options(options: argparse.ArgumentParser) -> Callable[..., Any]:
    """What the gate does about harmful words; adds further options to their group."""
    add = options.add_argument_group("safety").add_argument
    # fmt: off
    add("--safety", metavar="MODE",
        help="off, warn, rewrite or block; for one surface: finished=block. Surfaces: prompt, copy, references, "
             "finished, critic; several with commas (default: warn of prompt, copy and critic)")
    add("--policy", action="append", metavar="FILE",
        help="a house rule beside the shipped policies: a YAML file, or superlatives; repeat for more")
    add("--detector", metavar="SPEC",
        help="what finds harm: rules, tiny, hf:FOLDER, coca:FOLDER, an endpoint's URL, several with + (default: "
             "rules+tiny)")
    add("--rewriter", metavar="SPEC",
        help="who writes harmful words anew: template (default), an endpoint's URL, or a model's folder or hub id")
    # fmt: on
    return add


def add_steering_options(command: argparse.ArgumentParser, who: str) -> None:
    """A principle, and how far it goes.

    Args:
        who: heeds it, in words.
    """
    add = command.add_argument_group("steering").add_argument
    # fmt: off
    add("--principle", type=Path, metavar="FILE",
        help=f"words that {who} shall heed: a safety rule, or a brand's style guide")
    add("--alpha", type=typed(float, "a number of at least -1", lambda value: -1 <= value < float("inf")), metavar="X",
        help="how far the principle's effect is amplified: 0 states it alone, 1 is the default, 4 is published")
    # fmt: on


def principle_of(args: argparse.Namespace) -> Principle | None:
    """The principle of a call; ValueError where its file holds none, or there is an alpha without it."""
    if not args.principle:
        if args.alpha is not None:
            raise ValueError("--alpha says how far --principle FILE goes; give the file")
        return None
    from posterkit.llm.principle import DEFAULT_ALPHA, read_principle

    return read_principle(args.principle, DEFAULT_ALPHA if args.alpha is None else args.alpha)


def steering_of(args: argparse.Namespace) -> Principle | None:
    """The principle of a call that makes posters; None where there is none.

    Raises:
        ValueError: as `principle_of`, it steers nothing, or a model that it should steer is at an endpoint.
    """
    principle = principle_of(args)
    if principle is None:
        return None
    from posterkit.llm.open_model import check_steerable

    name, _, address = (args.planner or "").partition(":")
    specs = [getattr(args, option, None) for option in ("expand", "critic")]
    models = [spec for spec in specs if spec not in (None, "rules", "rules-blind")]
    models += [address] if name in ("llm", "cot") else []
    if not models:
        where = "--expand, --critic or --planner llm:FOLDER" if hasattr(args, "expand") else "--planner llm:FOLDER"
        raise ValueError(f"--principle steers a local model; name one with {where}")
    for spec in models:
        check_steerable(spec or "")
    return principle


def lettering_of(args: argparse.Namespace) -> Lettering:
    """What the call says of how texts are set."""
    plan = None
    if args.plan:
        from posterkit.generate.plan_files import read_plan
        from posterkit.layout.json_form import layout_to_json

        plan = layout_to_json(read_plan(args.plan))
    return Lettering(
        args.style, args.font or (), args.color or (), args.role or (), align=args.align, layout=args.layout,
        boxes=args.box or (), planner=args.planner, plan=plan, logo=args.logo, logo_at=args.logo_at, qr=args.qr,
        qr_at=args.qr_at, visible_mark=args.visible_mark,
    )  # fmt: skip


def texts_of(args: argparse.Namespace) -> list[str] | None:
    """The texts of a call; those of its plan where it names none."""
    if args.text or not args.plan:
        return args.text
    from posterkit.generate.plan_files import read_plan

    return [one.text for one in read_plan(args.plan).texts]


def add_anchor(command: argparse.ArgumentParser) -> None:
    places = f"extending: where the photo goes: {', '.join(ANCHORS)}, or x,y in pixels"
    command.add_argument("--anchor", metavar="PLACE", help=places)


def add_preserve(command: argparse.ArgumentParser) -> None:
    kept = "id_driven: cut the subject out and keep its pixels exactly (the default with mini)"
    command.add_argument("--preserve", action=argparse.BooleanOptionalAction, default=None, help=kept)
    cutter = "what cuts it out: rules (default), or a SAM-2 folder or hub id"
    command.add_argument("--segmenter", metavar="MODEL", help=cutter)


def refuse_refine(command: argparse.ArgumentParser) -> None:
    """--refine where it cannot be, so that the error says where it can."""
    command.add_argument("--refine", "--critic", action=_GenerateOnly, help=argparse.SUPPRESS)


class _GenerateOnly(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> NoReturn:
        parser.error(
            f"{rest[-1]} works with posterkit generate: PosterCraft takes a draft to be improved, PosterOmni does not"
        )


def _box(text: str) -> Any:
    try:
        return parse_box(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """What the call says of `PosterMaker`'s settings."""
    names = ("model", "transformer", "sampler", "preset", "device", "dtype", "draw_text", "reward", "critic",
             "segmenter", "upscaler", "safety", "detector", "rewriter", "metadata")  # fmt: skip
    given = {name: getattr(args, name, None) for name in names}
    given |= {"native": args.native or None, "cutout": args.cutout or None}
    given["lora"] = "; ".join(args.lora) if args.lora else None
    given["principle"] = steering_of(args) if hasattr(args, "principle") else None
    given |= {"policies": tuple(args.policy or ()) or None, "brands": _kept_names(args) or None}
    return {name: value for name, value in given.items() if value is not None}


def brand_kit(args: argparse.Namespace) -> BrandKit | None:
    """The brand kit of a call; ValueError where there are several, or as `read_brand_kit`."""
    files = [name for name in args.brand or () if _is_kit(name)]
    if not files:
        return None
    if len(files) > 1:
        raise ValueError(f"a poster keeps to one brand kit, found {' and '.join(files)}")
    from posterkit.typeset.brand_kit import read_brand_kit

    return read_brand_kit(files[0])


def _kept_names(args: argparse.Namespace) -> tuple[str, ...]:
    names = tuple(name for name in args.brand or () if not _is_kit(name))
    kit = brand_kit(args)
    return names + (kit.keep if kit else ())


def _is_kit(name: str) -> bool:
    return name.lower().endswith((".yaml", ".yml"))


def request_of(args: argparse.Namespace) -> dict[str, Any]:
    """What the call says of a request, but for its size."""
    names = ("seed", "steps", "guidance", "negative_prompt", "best_of", "strength", "preserve", "regional")
    given = {name: getattr(args, name, None) for name in names} | {"texts": texts_of(args)}
    given["draft"] = args.draft if args.draft in (None, "auto", "none") else Path(args.draft)
    if lettering := lettering_of(args):
        given["lettering"] = lettering
    return {name: value for name, value in given.items() if value is not None}


def output_paths(args: argparse.Namespace, inputs: Iterable[Any]) -> list[Path]:
    """Every file that a call shall write, checked before any work.

    Raises:
        ValueError: an ending is wrong, a file is a folder or one of the inputs, or a form cannot be written here.
    """
    also = {ending: getattr(args, ending[1:]) for ending in LAYERED}
    named = args.output or [Path("poster.png")]
    paths = [*named, *(path for path in also.values() if path)]
    checked = [(path, (".png", *ENDINGS)) for path in named]
    for path, endings in [*checked, *((path, (ending,)) for ending, path in also.items() if path)]:
        if ending_of(path) not in endings:
            raise ValueError(f"{path}: the name must end in {' or '.join(endings)}")
        if path.is_dir():
            raise ValueError(f"{path}: is a folder; name a file")
        _check_folder(path)
    how = export_options(args)
    for path in paths:
        check_export(path, how)
    for source in inputs:
        if source and source.exists() and any(path.exists() and path.samefile(source) for path in paths):
            raise ValueError(f"{source}: -o names an input; choose another name")
    return paths


def _check_folder(path: Path) -> None:
    """ValueError where no file can be written at a path, whose folder may still have to be made."""
    there = next(parent for parent in path.absolute().parents if parent.exists())
    if not there.is_dir():
        raise ValueError(f"{path}: cannot be written; {there} is no folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{path}: cannot be written; the folder {there} is read-only")


def save_to(paths: Iterable[Path], made_as: str, save: Callable[[Path], Any]) -> Iterator[Path]:
    """Write a poster to each of its files; where another one lies already, to a free name beside it.

    Args:
        made_as: the poster's id; a file that carries it may be written again.
    """
    from posterkit.cli.progress import note
    from posterkit.generate.metadata import record_id

    for path in paths:
        target, number = path, 1
        while target.exists() and record_id(target) != made_as:
            number += 1
            ending = ending_of(path)  # which may be .proof.png
            target = path.with_name(f"{path.name[: -len(ending)]}-{number}{ending}")
        if target != path:
            note(f"{path} is there already and is another file; this poster is {target}")
        save(target)
        yield target


def check_reward(args: argparse.Namespace, several: bool) -> None:
    """ValueError where a reward is named that has nothing to choose between."""
    if args.reward and not several:
        also = " or --refine N" if args.command == "generate" else ""
        raise ValueError(f"--reward chooses between posters; ask for several with --best-of N{also}")
