"""The verb that shows and stays until it is stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from morula.cli.verbs import app
from morula.core.errors import UsageError

__all__ = ["view"]


@app.command()
def view(
    store: Annotated[str, typer.Argument(help="OME-Zarr, as `predict --out seg.ome.zarr` writes it.")],
    image: Annotated[
        Path | None, typer.Option(help="Shown below the labels; what they were made of by default.")
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of the page; any that is free by default.")
    ] = 0,
) -> None:
    """Open a page on this machine alone that pages through sections with labels over the image."""
    from morula.workflows.view import open_view, serve

    shown = open_view(store, image)
    try:
        server = serve(shown, port)
    except OSError as error:
        raise UsageError("--port", f"port {port} is taken", "choose another, or leave it out") from error
    typer.echo(f"open http://127.0.0.1:{server.server_address[1]}/   (Ctrl+C stops it)")
    with server:
        server.serve_forever()
