//! The worker's blocking calls, on threads of their own.

use crate::swarm::report::{Report, Reports};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};
use swarm::{AggregateJob, AuditJob, Control, Event, OpenJob, TrainJob, WorkError, Worker};
use tokio::sync::mpsc::UnboundedSender;

/// One thread each for training, audits, opening states and aggregation: the urgent never waits for the long.
pub(crate) struct Jobs {
    train: mpsc::Sender<(TrainJob, Control)>,
    audit: mpsc::Sender<AuditJob>,
    open: mpsc::Sender<OpenJob>,
    aggregate: mpsc::Sender<AggregateJob>,
    training: Option<Control>,
    auditing: Control,
    reports: Reports,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Jobs {
    /// Starts the threads; results go to `results` (one per job, so bounded by the node).
    pub fn start(
        worker: &Arc<dyn Worker>,
        results: &UnboundedSender<Event>,
        reports: Reports,
    ) -> Self {
        let auditing = Control::quiet();
        let (train, train_thread) =
            spawn("train", worker, results, |worker, (job, control): (TrainJob, Control)| {
                let result = guarded(|| worker.train(&job, &control));
                Event::Trained { height: job.height, result }
            });
        let control = auditing.clone();
        let (audit, audit_thread) =
            spawn("audit", worker, results, move |worker, job: AuditJob| {
                let result = guarded(|| worker.audit(&job, &control));
                Event::Audited { id: job.id, result }
            });
        let control = auditing.clone();
        let (open, open_thread) = spawn("open", worker, results, move |worker, job: OpenJob| {
            let result = guarded(|| worker.open(&job, &control));
            Event::Opened { id: job.id, result }
        });
        let (aggregate, aggregate_thread) =
            spawn("aggregate", worker, results, |worker, job: AggregateJob| {
                let result = guarded(|| worker.aggregate(&job));
                Event::Aggregated { id: job.id, result }
            });
        let threads = vec![train_thread, audit_thread, open_thread, aggregate_thread];
        Self { train, audit, open, aggregate, training: None, auditing, reports, threads }
    }

    /// Starts a training job; one that still runs is cancelled.
    pub fn train(&mut self, job: TrainJob) {
        self.cancel_train();
        let (reports, height) = (self.reports.clone(), job.height);
        let control =
            Control::new(move |progress| reports.send(Report::progress(height, progress)));
        self.training = Some(control.clone());
        let _ = self.train.send((job, control));
    }

    pub fn cancel_train(&mut self) {
        if let Some(control) = self.training.take() {
            control.cancel();
        }
    }

    pub fn audit(&self, job: AuditJob) {
        let _ = self.audit.send(job);
    }

    pub fn open(&self, job: OpenJob) {
        let _ = self.open.send(job);
    }

    pub fn aggregate(&self, job: AggregateJob) {
        let _ = self.aggregate.send(job);
    }

    /// Cancels everything and waits up to `most` for the threads; what still runs then is left to
    /// end by itself (it writes nothing but whole objects).
    pub fn stop(mut self, most: Duration) {
        self.cancel_train();
        self.auditing.cancel();
        let threads = std::mem::take(&mut self.threads);
        drop(self);
        let until = Instant::now() + most;
        while threads.iter().any(|t| !t.is_finished()) && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Jobs {
    /// Also where the driver was aborted: nobody waits for the work any more.
    fn drop(&mut self) {
        self.cancel_train();
        self.auditing.cancel();
    }
}

fn spawn<J: Send + 'static>(
    name: &str,
    worker: &Arc<dyn Worker>,
    results: &UnboundedSender<Event>,
    mut run: impl FnMut(&dyn Worker, J) -> Event + Send + 'static,
) -> (mpsc::Sender<J>, thread::JoinHandle<()>) {
    let (sender, jobs) = mpsc::channel();
    let (worker, results) = (worker.clone(), results.clone());
    let work = move || {
        for job in jobs {
            if results.send(run(&*worker, job)).is_err() {
                return;
            }
        }
    };
    let thread = thread::Builder::new().name(format!("understory-{name}"));
    (sender, thread.spawn(work).expect("the system has a thread to spare"))
}

/// A panic of the worker is a failed job, not a dead thread that nobody hears of.
fn guarded<T>(work: impl FnOnce() -> Result<T, WorkError>) -> Result<T, WorkError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(WorkError::Other(format!("the worker panicked: {text}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_text() {
        let result: Result<(), _> = guarded(|| panic!("index {}", 7));
        assert_eq!(result, Err(WorkError::Other("the worker panicked: index 7".to_owned())));
    }
}
