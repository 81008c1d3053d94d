# Records a run with nothing but jsonlite. Both ways work:
#     toolkit track -- Rscript train.R
#     Rscript train.R | toolkit track
library(jsonlite)

target <- Sys.getenv("TOOLKIT_EVENTS", "/dev/stdout")

tell <- function(kind, ...) {
  event <- list(kind = kind, time = as.numeric(Sys.time()), ...)
  # auto_unbox: 0.5 and not [0.5]; digits = NA: all of them, and not four
  line <- toJSON(event, auto_unbox = TRUE, digits = NA)
  cat(line, "\n", sep = "", file = target, append = TRUE)
}

tell("described", project = "any-language", name = "R")
tell("params", values = list(lr = 0.5, optimizer = list(name = "sgd")))

loss <- 64
for (step in 0:3) {
  loss <- loss / 2
  tell("metrics", step = step, values = list("train/loss" = loss, "train/undefined" = NaN))
}

writeLines("weights", "model.txt")
tell("artifact", name = "model", type = "model", files = "model.txt")
counts <- matrix(c(5, 2, 1, 4), nrow = 2)
tell("confusionmatrix", name = "val/classes", labels = c("a", "b"), counts = counts)
tell("summary", values = list("final loss" = loss))
tell("left", status = "finished")
