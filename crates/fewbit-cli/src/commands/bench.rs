//! `fewbit bench`.

use crate::Verdict;
use crate::args::{Bench, BenchArgs};
use crate::failure::Failure;

mod noise;
mod step;

pub(crate) fn run(args: BenchArgs) -> Result<Verdict, Failure> {
    match args.what {
        Bench::Noise(args) => noise::run(&args),
        Bench::Step(args) => step::run(&args),
    }
}
