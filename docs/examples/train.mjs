// Records a run without any library. Both ways work:
//     toolkit track -- node train.mjs
//     node train.mjs | toolkit track
import { appendFileSync, writeFileSync } from "node:fs";

const target = process.env.TOOLKIT_EVENTS ?? 1; // 1 is standard output

function tell(kind, fields) {
  appendFileSync(target, JSON.stringify({ kind, time: Date.now() / 1000, ...fields }) + "\n");
}

tell("described", { project: "any-language", name: "javascript" });
tell("params", { values: { lr: 0.5, optimizer: { name: "sgd" } } });

let loss = 64;
for (let step = 0; step < 4; step++) {
  loss /= 2;
  tell("metrics", { step, values: { "train/loss": loss, "train/undefined": 0 / 0 } });
}

writeFileSync("model.txt", "weights\n");
tell("artifact", { name: "model", type: "model", files: "model.txt" });
tell("confusionmatrix", { name: "val/classes", labels: ["a", "b"], counts: [[5, 1], [2, 4]] });
tell("summary", { values: { "final loss": loss } });
tell("left", { status: "finished" });
