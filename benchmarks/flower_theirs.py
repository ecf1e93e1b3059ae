"""Flower's side of the comparison; runs in an environment that has flwr (`make bench-flower`).

    python -m benchmarks.flower_theirs FOLDER

Flower's own simulation: its FedAvg in a ServerApp, ClientApps in Ray's actors. Prints a line of
JSON.
"""

import json
import os
import time
from pathlib import Path

import numpy as np
import psutil
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

from ambientd.adapters.learning import networks, samples
from ambientd.rules.learning import models
from benchmarks import flower_study as study

FOLDER = "AMBIENT_FLOWER_FOLDER"
client = ClientApp()


def _own(message: Message, context: Context) -> tuple[models.Model, np.ndarray, samples.Samples]:
    folder = Path(os.environ[FOLDER])
    model = models.parsed(str(message.content["config"]["model"]))
    (numbers,) = message.content["arrays"].to_numpy_ndarrays()
    part = samples.read(study.part_name(int(context.node_config["partition-id"])), folder)
    return model, numbers.astype(np.float64), part


@client.train()
def train(message: Message, context: Context) -> Message:
    """Train on one participant's part."""
    model, numbers, part = _own(message, context)
    training, _ = samples.split(part)
    number = int(message.content["config"]["server-round"])
    after = study.trained(model, numbers, training, number)
    content = RecordDict(
        {
            "arrays": ArrayRecord([after.astype(np.float32)]),
            "metrics": MetricRecord({"num-examples": len(training)}),
        }
    )
    return Message(content=content, reply_to=message)


@client.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Try the model on what one participant has held out."""
    model, numbers, part = _own(message, context)
    _, held_out = samples.split(part)
    found = networks.Network(model, numbers).scored(held_out)
    said = {"num-examples": found.total, "correct": found.correct, "loss": found.loss}
    return Message(content=RecordDict({"metrics": MetricRecord(said)}), reply_to=message)


def processor_s() -> float:
    """Give what this process and all below it have used of the processors."""
    total = 0.0
    own = psutil.Process()
    for process in (own, *own.children(recursive=True)):
        times = process.cpu_times()
        total += times.user + times.system
    return total


def main() -> None:
    """Run the study, and print what it came to."""
    options = study.arguments(__doc__.splitlines()[0])
    os.environ[FOLDER] = str(options.folder.resolve())
    name = study.model_for(options.folder)
    server, found = ServerApp(), {}

    @server.main()
    def play(grid: Grid, context: Context) -> None:  # noqa: ARG001 - Flower's
        while len(list(grid.get_node_ids())) < options.participants:
            time.sleep(0.05)
        strategy = FedAvg(
            fraction_evaluate=0.0 if options.without_scores else 1.0,
            min_train_nodes=options.participants,
            min_available_nodes=options.participants,
        )
        first = ArrayRecord([study.first_numbers(name).astype(np.float32)])
        config = ConfigRecord({"model": name})
        began_s, began_cpu_s = time.perf_counter(), processor_s()
        result = strategy.start(
            grid,
            first,
            num_rounds=options.rounds,
            train_config=config,
            evaluate_config=ConfigRecord({"model": name}),
        )
        found["seconds"] = time.perf_counter() - began_s
        found["processor_s"] = processor_s() - began_cpu_s
        (last,) = result.arrays.to_numpy_ndarrays()
        found["accuracy"] = study.accuracy(
            models.parsed(name), last.astype(np.float64), options.folder
        )

    resources = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}}
    run_simulation(
        server_app=server,
        client_app=client,
        num_supernodes=options.participants,
        backend_config=resources,
    )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
