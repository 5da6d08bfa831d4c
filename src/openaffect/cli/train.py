"""`openaffect train RECIPE`: run one training stage, resumable."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def train(
        recipe: Annotated[Path, typer.Argument(help="Recipe file of the stage.")],
        overrides: Annotated[
            list[str] | None,
            typer.Argument(help="Fields to change, as schedule.steps=100 or start=DIR."),
        ] = None,
    ) -> None:
        """Train one stage from its recipe; an interrupted run continues where it was."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        from openaffect.training.recipe import load_recipe
        from openaffect.training.stage import run_stage
        from openaffect.training.trainer import Progress as Step

        settings = load_recipe(recipe, tuple(overrides or ()))
        console = Console(stderr=True)
        if settings.open_choices:
            told = f"the paper leaves open: {', '.join(settings.open_choices)}"
            console.print(told, highlight=False, soft_wrap=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            features = bar.add_task("features", visible=False)
            steps = bar.add_task(settings.stage, total=settings.schedule.steps, visible=False)

            def extracting(name: str, done: int, total: int) -> None:
                bar.update(
                    features,
                    description=f"features of {name}",
                    completed=done,
                    total=total,
                    visible=done < total,
                )

            def report(step: Step) -> None:
                held = "" if step.validation is None else f", validation {step.validation:.3f}"
                text = f"{settings.stage}: step {step.step} of {step.steps}, loss {step.loss:.3f}"
                bar.update(steps, completed=step.step, visible=True, description=text + held)
                if not console.is_terminal and step.step % settings.schedule.validate_every == 0:
                    console.print(text + held)

            result = run_stage(
                settings,
                lambda line: console.print(line, highlight=False, soft_wrap=True),
                report,
                extracting,
            )
        console.print(f"trained parts: {result}", soft_wrap=True)
