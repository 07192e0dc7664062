//! One program under one load once: [`Bench::sample`]. Each process is killed when it is no longer looked at.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::Error;
use crate::rows::{Load, Mode, Program, Row};
use crate::stage::{CLIENT, Stage, TARGET};
use crate::stats::Sample;
use crate::usage::{CLIENT_PROCESSOR, TARGET_PROCESSOR, Usage};

/// How long a target may take to start, and to stop.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes at the start of the disk that are compared each time, so that a target that answers fast and wrong is noticed.
const COMPARED: usize = 1 << 20;

/// Buffers that targets announce at least; it is the default of both.
const BUFFERS: u16 = 16;

/// Where the programs are, and what they are told.
pub(crate) struct Bench<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) ours: PathBuf,
    pub(crate) classic: PathBuf,
    pub(crate) reflector: PathBuf,
    pub(crate) client: PathBuf,
    /// Of each sample.
    pub(crate) seconds: f64,
    /// How ours is to reach the interface.
    pub(crate) link: Option<String>,
    /// How the client is to.
    pub(crate) client_link: Option<String>,
    /// How the reflector is to, if not by a socket of its own.
    pub(crate) reflector_link: Option<String>,
}

impl Bench<'_> {
    /// Puts the load of `row` on `program`, with `disk` as its file. The cable is laid.
    ///
    /// # Errors
    ///
    /// When a program cannot be run, or does its work wrongly.
    pub(crate) fn sample(&self, row: &Row, program: Program, disk: &Path) -> Result<Sample, Error> {
        if program == Program::Fio {
            return self.fio(row, disk);
        }
        let target = self.serve(row, program, disk)?;
        let told = self.load(row, program, disk, &target);
        let log = fs::read_to_string(&target.log).unwrap_or_default();
        target.stop();
        told.map_err(|error| format!("{program}, {row}: {error}\n{log}").into())
    }

    fn load(&self, row: &Row, program: Program, disk: &Path, target: &Target) -> Result<Sample, Error> {
        if program != Program::Reflector {
            self.verify(row, disk)?;
        }
        let Load { sectors, window, write, .. } = row.load;
        let mut command = self.client();
        command.args(["bench", "e7.3", "--json", "--duration", &self.seconds.to_string()]);
        command.args(["--window", &window.to_string(), "--sectors", &sectors.to_string()]);
        if write {
            command.args(["--write", "--force"]);
        }
        let before = Usage::now(Some(target.id()))?;
        let output = finish(&mut command)?;
        let used = Usage::now(Some(target.id()))? - before;
        let report: Value = serde_json::from_slice(&output)?;
        let side = &report[if write { "writes" } else { "reads" }];
        let replies = number(&side["replies"])?;
        Ok(Sample {
            replies_per_second: number(&side["replies_per_second"])?,
            processor_us: used.processor_us / replies,
            process_us: used.process_us / replies,
            p50_us: number(&side["latency_us"]["p50"])?,
            p99_us: number(&side["latency_us"]["p99"])?,
            retransmits: report["retransmits"].as_u64().unwrap_or(0),
        })
    }

    fn serve(&self, row: &Row, program: Program, disk: &Path) -> Result<Target, Error> {
        let path = match program {
            Program::Ours => &self.ours,
            Program::Reflector => &self.reflector,
            Program::Classic | Program::Fio => &self.classic,
        };
        let mut command = on(TARGET_PROCESSOR);
        command.arg(path).args(["-b", &row.load.window.max(BUFFERS).to_string()]);
        let link = match program {
            Program::Ours => &self.link,
            Program::Reflector => &self.reflector_link,
            Program::Classic | Program::Fio => &None,
        };
        if let Some(link) = link {
            command.args(["--link", link]);
        }
        if program == Program::Ours {
            command.arg("--state-dir").arg(self.stage.scratch("state"));
        }
        if program == Program::Reflector {
            command.arg(TARGET);
        } else {
            command.args(row.options(program)).args(["7", "3", TARGET]).arg(disk);
        }
        Target::start(command, self.stage).map_err(|error| format!("{}: {error}", path.display()).into())
    }

    /// Compares what the target says to be at the start of its disk with what is there; where the load writes, after writing it by the target.
    fn verify(&self, row: &Row, disk: &Path) -> Result<(), Error> {
        let start = self.stage.scratch("start");
        if row.load.write {
            let random = finish(Command::new("head").args(["-c", &COMPARED.to_string(), "/dev/urandom"]))?;
            fs::write(&start, &random)?;
            finish(self.client().args(["write", "-q", "e7.3"]).arg(&start))?;
            if random != first(disk)? {
                return Err("what was written is not what is on the disk".into());
            }
        }
        let read = finish(self.client().args([
            "read",
            "-q",
            "e7.3",
            "-",
            "--length",
            &(COMPARED / 512).to_string(),
        ]))?;
        if read != first(disk)? {
            return Err("what was read is not what is on the disk".into());
        }
        Ok(())
    }

    fn client(&self) -> Command {
        let mut command = on(CLIENT_PROCESSOR);
        command.arg(&self.client).args(["-i", CLIENT, "--timeout", "10"]);
        if let Some(link) = &self.client_link {
            command.args(["--link", link]);
        }
        command
    }

    /// The same requests, made of the file directly, by io_uring, as many at once, on the targets' processor.
    fn fio(&self, row: &Row, disk: &Path) -> Result<Sample, Error> {
        let Load { window, write, .. } = row.load;
        let mut command = on(TARGET_PROCESSOR);
        command.args([
            "fio",
            "--name=compare",
            "--ioengine=io_uring",
            "--output-format=json",
            "--time_based",
        ]);
        command.args([
            "--norandommap",
            "--randrepeat=0",
            if write { "--rw=randwrite" } else { "--rw=randread" },
        ]);
        // Past the page cache for durable writes, too: through it, they wait for each other, and a third as many pass.
        command.arg("--direct=1");
        if row.mode == Mode::Durable {
            command.arg("--sync=dsync");
        }
        command.arg(format!("--bs={}", row.request_len())).arg(format!("--iodepth={window}"));
        command.arg(format!("--runtime={}ms", (self.seconds * 1e3).ceil()));
        command.arg(format!("--filename={}", disk.display()));
        let before = Usage::now(None)?;
        let output = finish(&mut command)?;
        let used = Usage::now(None)? - before;
        let report: Value = serde_json::from_slice(&output)?;
        let job = &report["jobs"][0];
        let side = &job[if write { "write" } else { "read" }];
        let requests = number(&side["total_ios"])?;
        let percentiles = &side["clat_ns"]["percentile"];
        let run_us = number(&job["job_runtime"])? * 1e3;
        Ok(Sample {
            replies_per_second: number(&side["iops"])?,
            processor_us: used.processor_us / requests,
            process_us: (number(&job["usr_cpu"])? + number(&job["sys_cpu"])?) / 100.0 * run_us / requests,
            p50_us: number(&percentiles["50.000000"])? / 1e3,
            p99_us: number(&percentiles["99.000000"])? / 1e3,
            retransmits: 0,
        })
    }
}

/// A target that serves. It is killed when dropped.
struct Target {
    child: Child,
    log: PathBuf,
}

impl Target {
    /// Runs the command and waits for its first line, by which each target says that it serves.
    fn start(mut command: Command, stage: &Stage) -> Result<Self, Error> {
        let (out, log) = (stage.scratch("target.out"), stage.scratch("target.log"));
        command.stdin(Stdio::null()).stdout(File::create(&out)?).stderr(File::create(&log)?);
        let mut target = Self { child: command.spawn()?, log };
        let deadline = Instant::now() + PATIENCE;
        while !fs::read(&out)?.contains(&b'\n') {
            if let Some(status) = target.child.try_wait()? {
                return Err(format!("{status}: {}", fs::read_to_string(&target.log)?.trim()).into());
            }
            if Instant::now() > deadline {
                return Err("does not say that it serves".into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(target)
    }

    fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits for that.
    fn stop(mut self) {
        if let Some(process) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(process, Signal::TERM);
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command bound to one processor; taskset becomes what it runs.
fn on(processor: u32) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &processor.to_string()]);
    command
}

/// What a command prints; it must succeed.
fn finish(command: &mut Command) -> Result<Vec<u8>, Error> {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output()?;
    if status.success() {
        return Ok(stdout);
    }
    Err(format!("{command:?}: {status}: {}", String::from_utf8_lossy(&stderr).trim()).into())
}

fn first(disk: &Path) -> Result<Vec<u8>, Error> {
    use std::io::Read;
    let mut bytes = Vec::with_capacity(COMPARED);
    File::open(disk)?.take(COMPARED as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn number(value: &Value) -> Result<f64, Error> {
    value.as_f64().ok_or_else(|| format!("a report has {value} where a number belongs").into())
}
