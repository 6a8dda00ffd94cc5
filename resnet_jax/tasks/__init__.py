"""Kinds of problems: loss, metrics and predictions of each, by name."""

from resnet_jax.tasks.classification import Classification
from resnet_jax.tasks.protocol import BaseTask, Details, Rows, Task, TaskOptions, Term, Terms

TASKS: dict[str, Task] = {task.name: task for task in (Classification(),)}

__all__ = ["TASKS", "BaseTask", "Classification", "Details", "Rows", "Task", "TaskOptions", "Term", "Terms"]
