//! The processes of the box: whether they run, what they take, and how often they were started anew since boot.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use nodi_protocol::fleet::event::What;
use nodi_protocol::fleet::telemetry::ProcessHealth;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::source::{Source, name, text};

const MODE: u32 = 0o600;

/// How a process is told from others of the same program.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// As telemetry calls it.
    pub process: &'static str,
    /// As the kernel calls it.
    pub program: String,
    pub which: Which,
    /// One of it runs all the time. Others come with a session.
    pub permanent: bool,
}

/// Which of the processes of one program it is, where several boxes share a machine.
#[derive(Debug, Clone)]
pub(super) enum Which {
    /// The one with this word in its command line.
    Word(String),
    /// This one.
    Own,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    pid: u32,
    /// In ticks since boot: with the pid it names a process for ever.
    started: u64,
    /// Used so far, in ticks.
    ticks: u64,
    resident: u64,
}

/// Survives the agent's restarts.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    boot_id: String,
    known: BTreeMap<String, Known>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Known {
    pid: u32,
    started: u64,
    restarts: u64,
}

/// Looks at `/proc`.
#[derive(Debug)]
pub(super) struct Processes {
    wanted: Vec<Wanted>,
    path: PathBuf,
    memory: Memory,
    last: HashMap<u32, (Instant, Found)>,
    workers_lost: u64,
    ticks_per_s: f64,
}

impl Processes {
    /// `path` keeps the counts of this boot.
    pub(super) fn open(wanted: Vec<Wanted>, path: &Path, boot_id: &str) -> Self {
        let memory = std::fs::read(path)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Memory>(&bytes).ok())
            .filter(|memory| memory.boot_id == boot_id)
            .unwrap_or_else(|| Memory { boot_id: boot_id.to_owned(), known: BTreeMap::new() });
        #[allow(clippy::cast_precision_loss, reason = "100")]
        let ticks_per_s = rustix::param::clock_ticks_per_second() as f64;
        Self { wanted, path: path.to_owned(), memory, last: HashMap::new(), workers_lost: 0, ticks_per_s }
    }

    /// How they are now, and which were started anew since the last look. `workers_lost`: transcode workers that went
    /// away under a live session.
    pub(super) fn look(
        &mut self,
        source: &Source,
        now: Instant,
        workers_lost: u64,
    ) -> (Vec<ProcessHealth>, Vec<What>) {
        let found = self.find(source);
        let mut events = Vec::new();
        let mut healths = Vec::new();
        let mut last = HashMap::new();
        let before = self.memory.known.len();
        for (wanted, found) in self.wanted.clone().iter().zip(found) {
            let known = self.memory.known.entry(wanted.process.to_owned()).or_default();
            if wanted.permanent {
                if let Some(newest) = found.iter().max_by_key(|found| found.started)
                    && (known.pid, known.started) != (newest.pid, newest.started)
                {
                    if known.pid != 0 {
                        known.restarts += 1;
                        events.push(restarted(wanted.process, known.restarts));
                    }
                    (known.pid, known.started) = (newest.pid, newest.started);
                }
            } else if workers_lost > self.workers_lost {
                known.restarts += workers_lost - self.workers_lost;
                events.push(restarted(wanted.process, known.restarts));
            }
            let restarts = known.restarts;
            if !wanted.permanent && found.is_empty() && restarts == 0 {
                continue;
            }
            let cpu = found.iter().map(|found| self.cpu(*found, now)).sum();
            last.extend(found.iter().map(|found| (found.pid, (now, *found))));
            healths.push(ProcessHealth {
                name: wanted.process.to_owned(),
                running: !found.is_empty() || !wanted.permanent,
                restarts,
                memory_bytes: found.iter().map(|found| found.resident).sum(),
                cpu,
            });
        }
        // Counted from what is live now: it falls when such a session ends.
        self.workers_lost = workers_lost;
        self.last = last;
        if !events.is_empty() || before != self.memory.known.len() {
            self.save();
        }
        (healths, events)
    }

    /// Of one core, since the last look; nothing of a process that was not there then.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "a share with three digits"
    )]
    fn cpu(&self, found: Found, now: Instant) -> f32 {
        let Some((then, before)) = self.last.get(&found.pid) else { return 0.0 };
        let elapsed = now.duration_since(*then).as_secs_f64();
        if before.started != found.started || elapsed <= 0.0 {
            return 0.0;
        }
        let used = found.ticks.saturating_sub(before.ticks) as f64 / self.ticks_per_s;
        ((used / elapsed) * 1000.0).round() as f32 / 1000.0
    }

    /// For each wanted process, those that are it.
    fn find(&self, source: &Source) -> Vec<Vec<Found>> {
        let mut all = vec![Vec::new(); self.wanted.len()];
        for directory in std::fs::read_dir(source.at("proc")).into_iter().flatten().flatten() {
            let directory = directory.path();
            let Ok(pid) = name(&directory).parse::<u32>() else { continue };
            let Some(program) = text(&directory.join("comm")) else { continue };
            let mut words = None;
            for (wanted, found) in self.wanted.iter().zip(&mut all) {
                let is_it = match &wanted.which {
                    Which::Own => pid == std::process::id(),
                    Which::Word(wanted_word) => {
                        wanted.program == program && {
                            let words = words
                                .get_or_insert_with(|| text(&directory.join("cmdline")).unwrap_or_default());
                            words.split('\0').any(|word| word == wanted_word)
                        }
                    }
                };
                if is_it {
                    found.extend(read(&directory, pid));
                }
            }
        }
        all
    }

    fn save(&self) {
        let written = serde_json::to_vec(&self.memory)
            .map_err(std::io::Error::other)
            .and_then(|bytes| crate::files::replace(&self.path, &bytes, MODE));
        if let Err(error) = written {
            log::warn!(error:%; "restarts of processes will be counted anew");
        }
    }
}

fn restarted(process: &str, count: u64) -> What {
    What::ProcessRestarted { process: process.to_owned(), count }
}

fn read(directory: &Path, pid: u32) -> Option<Found> {
    let (ticks, started) = parse_stat(&text(&directory.join("stat"))?)?;
    let status = text(&directory.join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(Found { pid, started, ticks, resident: kilobytes * 1024 })
}

/// Time used and time of start, both in ticks. The name in parentheses may hold anything.
fn parse_stat(stat: &str) -> Option<(u64, u64)> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    // `state` is field 3 of proc(5); utime is 14, stime 15, starttime 22.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some((field(14)? + field(15)?, field(22)?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A `/proc` with one process.
    fn process(root: &Path, pid: u32, program: &str, word: &str, ticks: u64, started: u64) {
        let directory = root.join("proc").join(pid.to_string());
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("comm"), format!("{program}\n")).unwrap();
        std::fs::write(directory.join("cmdline"), format!("/usr/bin/{program}\0--config\0{word}\0")).unwrap();
        let zeros = "0 ".repeat(10);
        let stat = format!("{pid} ({program} (x) y) S {zeros}{ticks} 0 0 0 20 0 1 0 {started} 999 1\n");
        std::fs::write(directory.join("stat"), stat).unwrap();
        std::fs::write(directory.join("status"), "Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t1\n").unwrap();
    }

    fn wanted() -> Vec<Wanted> {
        let wanted = |process, permanent| Wanted {
            process,
            program: format!("nodi-{process}"),
            which: Which::Word(format!("/etc/{process}.toml")),
            permanent,
        };
        vec![wanted("ingest", true), wanted("transcode", false)]
    }

    #[test]
    fn restarts_are_counted_over_restarts_of_the_agent_until_the_next_boot() {
        let root = tempfile::tempdir().unwrap();
        let state = root.path().join("processes.json");
        let source = Source::new(root.path());
        let now = Instant::now();
        process(root.path(), 7, "nodi-ingest", "/etc/ingest.toml", 100, 5);
        process(root.path(), 8, "nodi-ingest", "/etc/another-box.toml", 100, 5);
        let mut processes = Processes::open(wanted(), &state, "boot-1");
        let (healths, events) = processes.look(&source, now, 0);
        assert_eq!((healths.len(), events.len()), (1, 0));
        assert_eq!((healths[0].running, healths[0].restarts, healths[0].memory_bytes), (true, 0, 2 << 20));
        process(root.path(), 7, "nodi-ingest", "/etc/ingest.toml", 150, 5);
        let (healths, _) = processes.look(&source, now + Duration::from_secs(10), 0);
        assert!((healths[0].cpu - 0.05).abs() < 1e-6, "{healths:?}");

        std::fs::remove_dir_all(root.path().join("proc/7")).unwrap();
        let (healths, events) = processes.look(&source, now, 0);
        assert!(!healths[0].running && events.is_empty());
        process(root.path(), 70, "nodi-ingest", "/etc/ingest.toml", 1, 900);
        let mut processes = Processes::open(wanted(), &state, "boot-1");
        let (healths, events) = processes.look(&source, now, 0);
        assert_eq!((healths[0].restarts, events), (1, vec![restarted("ingest", 1)]));
        let (_, events) = processes.look(&source, now, 0);
        assert!(events.is_empty());
        let (healths, _) = Processes::open(wanted(), &state, "boot-2").look(&source, now, 0);
        assert_eq!(healths[0].restarts, 0);
    }

    #[test]
    fn workers_come_and_go_and_only_lost_ones_count() {
        let root = tempfile::tempdir().unwrap();
        let state = root.path().join("processes.json");
        let source = Source::new(root.path());
        let now = Instant::now();
        for pid in [11, 12] {
            process(root.path(), pid, "nodi-transcode", "/etc/transcode.toml", 0, 5);
        }
        let mut processes = Processes::open(wanted(), &state, "boot");
        let (healths, events) = processes.look(&source, now, 0);
        let worker = |healths: &[ProcessHealth]| healths.iter().find(|one| one.name == "transcode").cloned();
        assert_eq!(worker(&healths).unwrap().memory_bytes, 4 << 20);
        assert!(events.is_empty());
        let (healths, events) = processes.look(&source, now, 2);
        assert_eq!((worker(&healths).unwrap().restarts, events.len()), (2, 1));
        let (healths, events) = processes.look(&source, now, 0);
        assert_eq!((worker(&healths).unwrap().restarts, events.len()), (2, 0), "that session is over");
    }
}
