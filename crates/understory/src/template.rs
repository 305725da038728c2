//! Chat templates of strangers, each compiled and rendered in a process of its own whose memory
//! and time the system bounds. No way of writing a template gets around that.

use crate::units;
use engine::template::{Render, TemplateError};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use text::chat::{ChatError, Job};

/// Runs each job of a template in a child of this program.
pub struct Isolated;

impl Render for Isolated {
    fn render(&self, job: &Job) -> Result<String, TemplateError> {
        let (status, answer) = child(job)?;
        let answer = match answer {
            Err(error) if bounded::is_too_long(&error) => {
                let most = units::bytes(MAX_ANSWER);
                return Err(TemplateError::Excess(format!("makes more than {most}")));
            }
            answer => answer?,
        };
        match serde_json::from_slice::<Result<String, ChatError>>(&answer) {
            Ok(result) => Ok(result?),
            Err(_) => Err(TemplateError::Excess(excess(status))),
        }
    }
}

/// The other side: takes bounds upon itself, then a job from standard input.
pub fn serve() -> anyhow::Result<()> {
    for (resource, most) in [(Resource::As, MEMORY), (Resource::Cpu, SECONDS), (Resource::Core, 0)]
    {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    let bytes = bounded::read_from(std::io::stdin(), MAX_JOB)?;
    let result = serde_json::from_slice::<Job>(&bytes)?.run();
    let mut out = crate::terminal::raw_stdout().lock();
    serde_json::to_writer(&mut out, &result)?;
    Ok(out.flush()?)
}

/// How a child that does this job ended, and what it answered.
fn child(job: &Job) -> io::Result<(ExitStatus, io::Result<Vec<u8>>)> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(COMMAND)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut input = child.stdin.take().expect("it is piped");
    // It reads all before it writes. If it ends early, its status says why.
    let _ = serde_json::to_writer(&mut input, job).map(|()| input.flush());
    drop(input);
    let answer = bounded::read_from(child.stdout.take().expect("it is piped"), MAX_ANSWER);
    let _ = child.kill();
    Ok((child.wait()?, answer))
}

/// Of what a template took too much.
fn excess(status: ExitStatus) -> String {
    let memory = units::bytes(MEMORY);
    match status.signal() {
        // What the allocator does when it gets no more.
        Some(SIGABRT) => format!("took more than {memory} of memory"),
        Some(SIGSEGV | SIGBUS) => "is nested too deeply".to_owned(),
        Some(_) => format!("took more than {SECONDS} s"),
        None => format!("took more than {memory} of memory or failed ({status})"),
    }
}

/// The command that [`serve()`]s.
pub const COMMAND: &str = "render-template";
/// Address space of the process; templates of real models need a few megabytes.
const MEMORY: u64 = 500_000_000;
/// Seconds of computing; templates of real models need milliseconds.
const SECONDS: u64 = 2;
const MAX_JOB: u64 = 1 << 27;
const MAX_ANSWER: u64 = 1 << 25;
const SIGABRT: i32 = 6;
const SIGBUS: i32 = 7;
const SIGSEGV: i32 = 11;
