"""`posterkit info`: a poster's record as a table or as JSON."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

from posterkit.messages import one_line, printable
from posterkit.safety.provenance import has_credentials, marks_of, read_marks
from posterkit.sizing import Size


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("poster", type=Path, metavar="POSTER", help="a poster that posterkit made")
    command.add_argument("--json", action="store_true", help="the whole record as JSON")


def run(args: argparse.Namespace) -> int:
    """Print everything that is needed to make a poster again; ValueError without a record, or with a damaged one."""
    from rich.console import Console
    from rich.table import Table

    from posterkit.generate.metadata import read_record

    path = args.poster
    try:
        record = read_record(path)
    except ValueError as fault:
        raise ValueError(f"{fault}{_marked(path)}") from None
    if args.json:
        print(_harmless(json.dumps(record, ensure_ascii=False, indent=2)))
        return 0
    if record.get("metadata") == "label":
        raise ValueError(
            f"{path}: says only that posterkit {record.get('posterkit')} made it (--metadata label)" + _marked(path)
        )
    try:
        lines, again = _lines(record) + _credential_lines(path), shlex.join(_again(path, record["row"]))
    except (KeyError, TypeError, AttributeError, IndexError, ValueError):
        raise ValueError(f"{path}: its record is damaged") from None
    table = Table(title=str(path), title_justify="left", show_header=False, box=None, padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in lines:
        table.add_row(printable(name), printable(value))
    again_is = "make what it was edited from again" if "edited" in record else "make it again"
    console = Console()
    console.print(table, markup=False)
    console.print(
        f"\n{again_is}: posterkit {printable(again)} -o again.png", markup=False, highlight=False, soft_wrap=True
    )
    return 0


def _principle(row: dict[str, Any]) -> str | None:
    """What steered the planner or the critic."""
    said = row.get("principle")
    return f"{one_line(said['words'], 80)!r}, alpha {said['alpha']:g}" if said else None


def _marked(path: Path) -> str:
    """What a file without a record says of its origin, to go on with a message; nothing where it says nothing."""
    try:
        marks = read_marks(path)
    except ValueError:
        return ""
    return f"; its origin: {marks.label or 'not a model'} ({marks.source_type})" if marks else ""


def _again(path: Path, row: dict[str, Any]) -> list[str]:
    """The command that makes a poster again."""
    if row["task"] != "typeset":
        return ["generate", "--from-image", str(path)]
    how = row.get("lettering", {})
    marks = dict(how.get("marks", ()))
    fonts = [font.get("family") or str(path.parent / font["path"]) for font in how.get("fonts", ())]
    boxes = [",".join(str(side) for side in box) for box in how.get("boxes", ())]
    texts = [f"@{marks[text]}:{text}" if text in marks else text for text in row["texts"]]
    said = {"text": texts, "role": how.get("roles", ()), "font": fonts, "color": how.get("colors", ()), "box": boxes}
    said |= {name: [how[name]] for name in ("style", "align", "layout", "planner", "qr") if name in how}
    said |= {"logo": [str(path.parent / how["logo"]["path"])]} if "logo" in how else {}
    said |= {f"{name}-at": [how[f"{name}_at"]] for name in ("logo", "qr") if f"{name}_at" in how}
    said |= {"visible-mark": [how["visible_mark"]]} if "visible_mark" in how else {}
    said |= {"plan": [str(path)]} if "plan" in how else {}
    said |= _size_again(path, row)
    options = [word for name, values in said.items() for value in values for word in (f"--{name}", value)]
    return ["typeset", str(path.parent / row["images"][0]["path"]), *options]


def _size_again(path: Path, row: dict[str, Any]) -> dict[str, list[str]]:
    """The options that make a typeset picture as large as it was."""
    from posterkit.image_io import read_size
    from posterkit.paper import sheet_from

    size = Size(row["width"], row["height"])
    if "sheet" in row:
        sheet = sheet_from(row["sheet"])
        said = {"size": [str(sheet.trim(size))], "dpi": [str(sheet.dpi)]}
        return said | {name: [f"{row['sheet'][name]}mm"] for name in ("bleed", "safe") if row["sheet"].get(name)}
    source = path.parent / row["images"][0]["path"]
    return {"size": [str(size)]} if source.is_file() and read_size(source) != size else {}


def _harmless(text: str) -> str:
    """JSON in which control characters beyond ASCII, which JSON lets stand, are escapes too."""
    return "".join(letter if letter == "\n" or letter.isprintable() else json.dumps(letter)[1:-1] for letter in text)


def _lines(record: dict[str, Any]) -> list[tuple[str, str]]:
    row = record["row"]
    lines = [("task", row["task"]), ("prompt", row["prompt"]), ("expanded", row["expanded"])]
    lines += [("text", text) for text in row["texts"]]
    lines += [("edited to", text) for text in record.get("edited", {}).get("texts", ())]
    lines += [("image", f"{image['path']}  sha256 {image['sha256'][:16]}") for image in row["images"]]
    if row["mask"]:
        lines.append(("mask", f"{row['mask']['path']}  sha256 {row['mask']['sha256'][:16]}"))
    versions = {"posterkit": record["posterkit"], **record["versions"]}
    size = f"{row['width']}x{row['height']}"
    if record.get("enlarged", {"resampler": "none"})["resampler"] != "none":
        drawn_at = "{}x{}".format(*record["drawn"]["size"])
        size += f", drawn at {drawn_at}, enlarged by {record['enlarged']['resampler']}"
    seed = row["seed"]
    if chosen := record.get("chosen"):
        seed = f"{chosen['seed']}, the best of {len(chosen['candidates'])} from {seed}"
    lines += [
        ("anchor", row["anchor"]), ("size", size), ("seed", seed), ("steps", row["steps"]),
        ("guidance", row["guidance"]), ("negative prompt", row["negative_prompt"]),
        ("pixels", _pixels(row)), ("painted over", _draft(row)),
        *(_model_lines(record) if row["task"] != "typeset" else ()),
        ("texts are", ("drawn by the model" if row["draw_text"] else "typeset") if row["texts"] else None),
        ("planned by", _plan(record)), ("steered by", _principle(row)),
        ("times drawn", record["source_depth"]), ("row id", record["id"]),
        ("versions", ", ".join(f"{part} {version}" for part, version in versions.items())),
    ]  # fmt: skip
    marks = marks_of(record)
    lines += [("origin", marks.source_type and f"{marks.label} ({marks.source_type})"), ("alt text", marks.alt)]
    lines += [("made from", f"a picture marked {term}") for term in marks.inputs]
    lines += _licence_lines(record) + _choice_lines(record) + _safety_lines(record)
    return [(name, str(value)) for name, value in lines if value not in (None, "")]


def _pixels(row: dict[str, Any]) -> str | None:
    """Whether an image keeps its pixels; None where the row leaves it to the task."""
    if row.get("preserve") is None:
        return None
    return f"the subject's own, its outline by {row.get('segmenter') or 'rules'}" if row["preserve"] else "drawn anew"


def _model_lines(record: dict[str, Any]) -> list[tuple[str, str | None]]:
    row, model, words = record["row"], record["model"], record["drawn"]["words"]
    return [
        ("the model read", words if words != row["prompt"] else None),
        ("model", f"{model['name']}, revision {model['revision']}"), ("transformer", model["transformer"]),
        ("LoRA", ", ".join(lora for lora in (model["lora"], row["lora"]) if lora)),
    ]  # fmt: skip


def _draft(row: dict[str, Any]) -> str | None:
    if "draft" not in row:
        return None
    drawn = {"id_driven": "a studio around the subject", "rescaling": "the reference in the new format"}
    what = drawn.get(row["task"], "a drawing of the prompt") if row["draft"] == "auto" else row["draft"]["path"]
    return f"{what}, {row['strength']:g} of it anew"


def _plan(record: dict[str, Any]) -> str | None:
    if "plan" not in record:
        return None
    plan = record["plan"]
    kept = [stage["name"] for stage in plan["trace"] if stage["kept"]]
    return f"{plan['planner']}, {plan['archetype']}" + (f", kept: {', '.join(kept)}" if kept else "")


def choice_summary(record: dict[str, Any]) -> list[str]:
    """What was chosen, and what refining came to, a line each."""
    lines = []
    if chosen := record.get("chosen"):
        values = ", ".join(f"{row['value']:.3f}" if "value" in row else "left out" for row in chosen["candidates"])
        lines.append(f"best of {len(chosen['candidates'])}: {chosen['value']:.3f} by {chosen['by']} (of {values})")
        if len({row.get("value") for row in chosen["candidates"]}) == 1 < len(chosen["candidates"]):
            lines.append("the reward tells none of them apart; the first is kept")
    if refined := record.get("refined"):
        draft, rounds = refined["draft"], refined["rounds"]
        kept = [row for row in rounds if row["kept"]]
        gain = f"{draft['value']:.3f} to {kept[-1]['value']:.3f}" if kept else "the draft is kept"
        lines.append(f"refined: {gain}, {len(kept)} of {len(rounds)} rounds better by {refined['by']}")
    return lines


def _choice_lines(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Each candidate and each round, with its score."""
    lines = [(line.partition(": ")[0], line.partition(": ")[2]) for line in choice_summary(record)]
    lines += [(f"seed {row['seed']}", _score(row)) for row in record.get("chosen", {}).get("candidates", ())]
    lines += [("redrawn", " ".join(said)) for said in record["row"].get("feedback", ())]
    refined = record.get("refined")
    if refined is None:
        return lines
    lines += [("critic", refined["critic"]), ("draft", _score(refined["draft"]))]
    for number, row in enumerate(refined["rounds"], start=1):
        lines.append((f"round {number}", f"{'kept' if row['kept'] else 'not kept'}, {_score(row)}"))
        lines += [("  content", row["content"]), ("  style", row["style"])]
    return lines


def _licence_lines(record: dict[str, Any]) -> list[tuple[str, str]]:
    """What may be done with it, as far as its model, LoRAs and fonts say."""
    if not (rows := record.get("licences")):
        return []
    from posterkit.generate.licences import Licence, verdict

    found = [Licence(**{"where": "", **row}) for row in rows]
    own = "; whose your pictures are is not known here" if record["row"]["images"] else ""
    return [("may I sell it", verdict(found) + own), *(("licence", one.line()) for one in found)]


def _credential_lines(path: Path) -> list[tuple[str, str]]:
    """Who signed a file, and whether it has changed since."""
    if not has_credentials(path):
        return []
    from posterkit.safety.content_credentials import read_credentials

    try:
        found = read_credentials(path)
    except ValueError as error:
        return [("credentials", str(error))]
    if found is None:
        return []
    state = "it has changed since" if found.state == "Invalid" else "unchanged since; whose key it is was not checked"
    made_from = [
        f"{title} ({relation}{', signed' if signed else ''})" for title, relation, signed in found.ingredients
    ]
    return [("signed by", f"{found.signer}, {state}"), *(("signed as made from", one) for one in made_from)]


def _safety_lines(record: dict[str, Any]) -> list[tuple[str, str]]:
    """What the safety gate found, and what it has not looked at."""
    if (safety := record.get("safety")) is None:
        return [("safety", "not checked")]
    if not safety["decisions"]:
        return [("safety", "not checked: there were no words")]
    lines = []
    for row in safety["decisions"]:
        if row["action"] != "allow":
            now = f' -> "{row["rewritten"]}"' if "rewritten" in row else ""
            said = f'{row["surface"]} "{row["original"]}"{now}: {row["reason"]}'
            lines.append((row["action"], said))
        lines += [("not checked", f"{what} ({row['surface']})") for what in row.get("unchecked", ())]
    return lines or [("safety", f"{len(safety['decisions'])} texts checked by {safety['detector']}, nothing found")]


def _score(row: dict[str, Any]) -> str:
    """A value, what it is made of, and why; or why there is none."""
    if "fault" in row:
        return f"left out: {row['fault']}"
    parts = ", ".join(f"{name} {value:.2f}" for name, value in row["parts"].items() if "/" not in name)
    return f"{row['value']:.3f}" + (f" ({parts})" if parts else "") + (f": {row['why']}" if row["why"] else "")
