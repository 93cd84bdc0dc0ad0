"""Packed models on a hub: `hf://organisation/name`, or `hf://organisation/name@revision`.

Reading and writing go through `huggingface_hub`, an extra of this project; it keeps what it has read in its own cache
(HF_HOME), resumes interrupted downloads, and takes the hub's address from HF_ENDPOINT and a token from HF_TOKEN.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sed.checkpoints.pack_folder import FACTS, NAMES
from sed.errors import RunError, UserError, first_lines

PREFIX = "hf://"
_PLACE = re.compile(r"hf://(\w[\w.-]*/\w[\w.-]*)(?:@([\w./-]+))?", re.ASCII)


class Place(NamedTuple):
    """Location of a model on the hub."""

    repository: str
    """organisation/name"""
    revision: str | None
    """branch, tag or commit; None: the default branch"""

    def __str__(self) -> str:
        return f"{PREFIX}{self.repository}" + (f"@{self.revision}" if self.revision else "")


def place_of(text: str) -> Place:
    """Read `hf://organisation/name[@revision]`; UserError for anything else."""
    found = _PLACE.fullmatch(text)
    if not found:
        raise UserError(f"{text}: not a model on a hub ({PREFIX}organisation/name, or with @revision behind it)")
    return Place(found[1], found[2])


def local_model(model: str | Path) -> Path:
    """Return the path of a model; one on a hub is downloaded.

    Raises:
        UserError: the hub has no such model, or it is not a packed model; its name is malformed; or huggingface_hub is
            missing.
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
    """Upload a packed model to the hub, in a single commit: all of its files or none.

    Args:
        folder: the packed model; files in it that `pack` did not write are not uploaded.
        place: where to upload; the repository is created if missing, an earlier model in it is replaced.
        private: True: a repository that is created is private; False: it is as its organisation's default says.
        message: message of the commit.

    Returns:
        The URL of the commit; that of the newest one if nothing has changed.

    Raises:
        UserError: there is no such organisation or revision, the token does not permit writing there, or
            huggingface_hub is missing.
        RunError: the hub does not answer.
    """
    with _explained(place) as hub:
        api = hub.HfApi()
        api.create_repo(place.repository, private=private or None, exist_ok=True)
        remote = {*api.list_repo_files(place.repository, revision=place.revision)}
        local = [name for name in NAMES if (folder / name).is_file()]
        gone = [name for name in NAMES if name in remote and name not in local]
        commit = api.create_commit(
            place.repository,
            operations=[
                *(hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=str(folder / name)) for name in local),
                *(hub.CommitOperationDelete(path_in_repo=name) for name in gone),
            ],
            commit_message=message,
            revision=place.revision,
        )
    return str(commit.commit_url)


@contextmanager
def _explained(place: Place) -> Iterator[Any]:
    """Yield the module `huggingface_hub`; within the context, its errors are raised as one-line errors of ours."""
    try:
        import huggingface_hub
        from huggingface_hub import constants
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
    except ModuleNotFoundError:
        raise UserError(f"{place}: the package huggingface_hub is missing (pip install '.[hub]')") from None
    # the base of all errors of requests or httpx, depending on the version; theirs come before Python's own
    transport: Any = [base for base in HfHubHTTPError.__mro__[1:] if base.__module__ != "builtins"][-1]
    endpoint = constants.ENDPOINT
    try:
        yield huggingface_hub
    except HFValidationError as error:
        raise UserError(f"{place}: {first_lines(error)} (correct the name)") from None
    except RevisionNotFoundError:
        raise UserError(f"{place}: {endpoint} has no such revision of it (check what is behind the @)") from None
    except RepositoryNotFoundError:
        raise UserError(
            f"{place}: {endpoint} has no such model, or a private one (check the name; set HF_TOKEN for a private one)"
        ) from None
    except LocalEntryNotFoundError as error:  # no connection, and nothing in huggingface_hub's cache
        raise RunError(f"{place}: {endpoint} does not answer: {first_lines(error)} (try again)") from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise UserError(f"{place}: {endpoint} refuses it: {status} (hf auth login, or set HF_TOKEN)") from None
        raise RunError(f"{place}: {endpoint} answers {status}: {first_lines(error)} (try again)") from None
    except (transport, ConnectionError) as error:
        raise RunError(f"{place}: {endpoint} does not answer: {first_lines(error)} (try again)") from None
