"""Packed models on a hub: `hf://organisation/name`, or `hf://organisation/name@revision`.

Reading and writing go through `huggingface_hub`, an extra of this project; it keeps what it has read in its own cache
(HF_HOME), goes on after a kill, and takes the hub's address from HF_ENDPOINT and a token from HF_TOKEN.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sed.checkpoints.pack_folder import FACTS, NAMES
from sed.errors import RunError, UserError

PREFIX = "hf://"
_PLACE = re.compile(r"hf://(\w[\w.-]*/\w[\w.-]*)(?:@([\w./-]+))?", re.ASCII)


class Place(NamedTuple):
    """Location of a model on the hub."""

    repository: str
    revision: str | None

    def __str__(self) -> str:
        return f"{PREFIX}{self.repository}" + (f"@{self.revision}" if self.revision else "")


def place_of(text: str) -> Place:
    """Read `hf://organisation/name[@revision]`; UserError for anything else."""
    found = _PLACE.fullmatch(text)
    if not found:
        raise UserError(f"{text}: not a model on a hub ({PREFIX}organisation/name, or with @revision behind it)")
    return Place(found[1], found[2])


def local_model(model: str | Path) -> Path:
    """Return the path of a model, which is downloaded when it is on a hub.

    Raises:
        UserError: it is not there, or is no packed model.
        RunError: the hub does not answer.
    """
    if not str(model).startswith(PREFIX):
        return Path(model)
    place = place_of(str(model))
    with _explained(place) as hub:
        folder = Path(hub.snapshot_download(place.repository, revision=place.revision, allow_patterns=list(NAMES)))
    if not (folder / FACTS).is_file():
        raise UserError(f"{place}: no packed model of this project (it has no {FACTS})")
    return folder


def push(folder: Path, place: Place, *, private: bool, message: str) -> str:
    """Put a packed model onto the hub in one commit, which has all of its files or is not made.

    Args:
        folder: the packed model; files of others in it stay here.
        place: where it goes; the repository is made when missing, an earlier model in it replaced.
        private: whether a repository that is made is private.
        message: of the commit.

    Returns:
        The address of the commit; the newest one where nothing has changed.

    Raises:
        UserError: there is no such place, or no right to write there.
        RunError: the hub does not answer.
    """
    with _explained(place) as hub:
        api = hub.HfApi()
        api.create_repo(place.repository, private=private or None, exist_ok=True)
        there = {*api.list_repo_files(place.repository, revision=place.revision)}
        here = [name for name in NAMES if (folder / name).is_file()]
        gone = [name for name in NAMES if name in there and name not in here]
        commit = api.create_commit(
            place.repository,
            operations=[
                *(hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=str(folder / name)) for name in here),
                *(hub.CommitOperationDelete(path_in_repo=name) for name in gone),
            ],
            commit_message=message,
            revision=place.revision,
        )
    return str(commit.commit_url)


@contextmanager
def _explained(place: Place) -> Iterator[Any]:
    """Give `huggingface_hub`, whose errors become a line each."""
    try:
        import huggingface_hub
        from huggingface_hub.errors import (
            HfHubHTTPError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
    except ModuleNotFoundError:
        raise UserError(f"{place}: the package huggingface_hub is missing (pip install '.[hub]')") from None
    transport: Any = HfHubHTTPError.__bases__[0]  # of the HTTP library, which differs between versions
    endpoint = huggingface_hub.constants.ENDPOINT
    try:
        yield huggingface_hub
    except RevisionNotFoundError:
        raise UserError(f"{place}: {endpoint} has no such revision of it (check what is behind the @)") from None
    except RepositoryNotFoundError:
        raise UserError(
            f"{place}: {endpoint} has no such model, or a private one (check the name; set HF_TOKEN for a private one)"
        ) from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise UserError(f"{place}: {endpoint} refuses it: {status} (hf auth login, or set HF_TOKEN)") from None
        raise RunError(f"{place}: {endpoint} answers {status}: {_first_line(error)} (try again)") from None
    except (LocalEntryNotFoundError, transport, ConnectionError) as error:
        # the errors of a connection, and those that huggingface_hub makes of them when its cache has nothing
        raise RunError(f"{place}: {endpoint} does not answer: {_first_line(error)} (try again)") from None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
