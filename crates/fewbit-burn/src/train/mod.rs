//! The training loop: float steps, then steps under pseudo quantization noise, then the file; for
//! any model whose owner implements [`Task`].

mod budget;
mod checkpoint;
mod config;
mod evaluation;
mod evaluator;
mod identity;
mod memory;
mod metric;
mod metrics;
mod optimizer;
mod order;
mod outcome;
mod paired;
mod phases;
mod plan;
mod run_folder;
mod state;
mod task;
mod trainer;

pub use checkpoint::CheckpointError;
pub use config::{OnNonFinite, OptimizerKind, Schedule, TrainConfig};
pub use evaluator::{Evaluated, Evaluator};
pub use identity::{Difference, Identity};
pub use memory::{memory_limit, peak_memory};
pub use metric::{Direction, Metric};
pub use metrics::{Method, ResultRow, Row};
pub use optimizer::{Optimizers, Rates, Seen};
pub use order::{Batches, permutation};
pub use outcome::{Event, Outcome, Start, TrainError};
pub use paired::sign_test;
pub use plan::RunPlan;
pub use run_folder::{
    CHECKPOINT_FOLDER, FLOAT_FILE, INITIAL_FILE, METRICS_FILE, MODEL_FILE, RECIPE_FILE, RunFolder,
    RunFolderError, TEACHER_FILE,
};
pub use task::{BatchRecord, Score, Split, Task, Teacher, evaluate, mean};
pub use trainer::Trainer;
