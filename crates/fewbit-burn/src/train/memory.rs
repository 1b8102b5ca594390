//! How much memory a run will take, found out without taking it.
//!
//! What a step keeps for its backward pass grows with the batch, all else does not: what a small batch takes tells what a
//! larger one will, and whether that may be tried.

use std::fs;

use super::config::TrainConfig;
use super::outcome::TrainError;
use super::task::Task;
use super::trainer::Trainer;

/// Steps of each phase after the first, which makes what the others find there.
const STEPS: u64 = 1;

/// The parts of a batch that are tried, the smallest first.
const PARTS: [usize; 4] = [64, 16, 4, 1];

impl<T: Task> Trainer<'_, T> {
    /// The most memory in bytes that this process will have had after a step of each phase; none where the
    /// system does not tell. For a process that has not trained before: its highest use so far counts.
    ///
    /// # Errors
    /// [`TrainError`]: a method that does not fit, weights that are not finite.
    pub fn expected_memory(&self) -> Result<Option<u64>, TrainError> {
        let all = self.config.batch_size.max(1);
        let mut batches = PARTS.map(|part| all.div_ceil(part)).to_vec();
        batches.dedup();
        let mut peaks = Peaks::default();
        for batch_size in batches {
            // No more than half of what there is, so that trying does no harm.
            let is_safe =
                memory_limit().is_none_or(|limit| peaks.at(batch_size).is_none_or(|at| at < limit / 2));
            if !is_safe {
                break;
            }
            // Without a budget: the search for a file takes less than a step, but would hide what a small one takes.
            let config = TrainConfig {
                batch_size,
                evaluation_batch_size: (self.config.evaluation_batch_size * batch_size).div_ceil(all),
                budget: None,
                ..self.config_of_trial()
            };
            let trial = self.with_config(&config);
            trial.try_steps(trial.start()?, STEPS)?;
            let Some(peak) = peak_memory() else { return Ok(None) };
            peaks.0.push((batch_size, peak));
        }
        Ok(peaks.at(all))
    }
}

/// Batches that were tried, with the memory that they took.
#[derive(Default)]
struct Peaks(Vec<(usize, u64)>);

impl Peaks {
    /// What a larger batch will take: as much more as the last two that were tried tell. None before the first.
    fn at(&self, batch: usize) -> Option<u64> {
        let &(half, high) = self.0.last()?;
        // Of one alone all might belong to its records.
        let &(quarter, low) = self.0.iter().nth_back(1).unwrap_or(&(0, 0));
        let per_record = high.saturating_sub(low) as f64 / (half - quarter) as f64;
        Some(high + (per_record * batch.saturating_sub(half) as f64) as u64)
    }
}

/// The most memory that this process has had, in bytes; none where the system does not tell.
pub fn peak_memory() -> Option<u64> {
    kibibytes_in("/proc/self/status", "VmHWM:")
}

/// The memory that this process may have, in bytes: the machine's, or less where a limit is set for it or its
/// group. None where the system does not tell.
pub fn memory_limit() -> Option<u64> {
    let machine = kibibytes_in("/proc/meminfo", "MemTotal:")?;
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let own = limits.lines().find_map(|line| line.strip_prefix("Max address space"));
    let own = own.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    group_limits().into_iter().chain(own).chain([machine]).min()
}

/// The limits of the groups that this process is in, by either version of Linux's control groups.
fn group_limits() -> Vec<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let files = groups.lines().filter_map(|line| {
        let (kinds, path) = line.split_once(':')?.1.split_once(':')?;
        let path = path.trim_end_matches('/');
        match kinds {
            "" => Some(format!("/sys/fs/cgroup{path}/memory.max")),
            _ if kinds.split(',').any(|kind| kind == "memory") => {
                Some(format!("/sys/fs/cgroup/memory{path}/memory.limit_in_bytes"))
            }
            _ => None,
        }
    });
    // In a container the group is often seen as the root.
    let files = files.chain(["/sys/fs/cgroup/memory.max".to_owned()]);
    files.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).collect()
}

/// The number behind `name` in a file of lines such as `VmHWM: 1234 kB`, in bytes.
fn kibibytes_in(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024 * kibibytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_takes_as_much_more_as_the_last_two_tell() {
        assert_eq!(Peaks::default().at(8), None);
        assert_eq!(Peaks(vec![(8, 100)]).at(8), Some(100));
        assert_eq!(Peaks(vec![(8, 100)]).at(16), Some(200));
        assert_eq!(Peaks(vec![(1, 50), (2, 100), (4, 120)]).at(16), Some(240));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_tells() {
        let (peak, limit) = (peak_memory().unwrap(), memory_limit().unwrap());
        assert!(0 < peak && peak < limit);
    }
}
