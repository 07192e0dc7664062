//! Disks: what comes of opening them, of looking at them, and of closing them.

use std::sync::Arc;
use std::time::Instant;

use tracing::{error, info, warn};

use super::{Ended, Manager, RETRY, Served};
use crate::daemon::disk::{Disk, DiskSettings, Look, Opened};
use crate::daemon::plan::Key;
use crate::daemon::workers::Workers;
use crate::error::Error;

/// Disks that one thread looks at: one that hangs keeps no more of them from being looked at.
const TOGETHER: usize = 16;

/// What a worker reports.
pub(super) enum Outcome {
    /// A disk was opened, or why not.
    Opened { key: Key, ticket: u64, result: Result<Opened, Error> },
    /// How a disk is.
    Looked { key: Key, disk: Arc<Disk>, look: Look },
    /// A disk was closed, with everything durable that was written, or else that was logged.
    Closed,
}

/// Makes durable what was written to a disk that is served no more, and closes it. It says [`Outcome::Closed`] then.
pub(super) fn close(workers: &mut Workers<Outcome>, disk: Arc<Disk>) {
    workers.start(move |reports| {
        if disk.stack.flush().is_err() {
            error!("{}: the last flush failed; data that was written may be lost", disk.path.display());
        }
        drop(disk);
        reports.tell(Outcome::Closed);
    });
}

impl Manager {
    pub(super) fn take_up(&mut self, outcome: Outcome) -> Result<(), Ended> {
        match outcome {
            Outcome::Opened { key, ticket, result } => self.opened(key, ticket, result),
            Outcome::Looked { key, disk, look } => self.looked(&key, &disk, look),
            Outcome::Closed => {
                self.closing -= 1;
                Ok(())
            }
        }
    }

    fn opened(&mut self, key: Key, ticket: u64, result: Result<Opened, Error>) -> Result<(), Ended> {
        // Otherwise it is not wanted any more, or not so.
        let Some(served) = self.exports.get_mut(&key).filter(|served| served.ticket == ticket) else {
            return Ok(());
        };
        let Some(settings) = served.actual.opening.take() else { return Ok(()) };
        self.dirty = true;
        let result = match result {
            Err(error) => Err(error.line_of_config()),
            Ok(opened) if served.target.is_some() => {
                self.replace_disk(&key, &settings, opened)?;
                Ok(())
            }
            Ok(opened) => self.add(&key, opened)?,
        };
        let Some(served) = self.exports.get_mut(&key) else { return Ok(()) };
        match result {
            Ok(()) => {
                served.actual.disk = Some(settings);
                served.why = None;
            }
            Err(why) => fail(&key, served, settings, why),
        }
        self.notify.status(&self.status());
        Ok(())
    }

    /// Serves an export from another disk than before, or again from one.
    fn replace_disk(&mut self, key: &Key, settings: &DiskSettings, opened: Opened) -> Result<(), Ended> {
        let Some(served) = self.exports.get_mut(key) else { return Ok(()) };
        let Some(id) = served.target else { return Ok(()) };
        let Opened { disk, queue, .. } = opened;
        let info = disk.stack.info();
        self.engine.with(move |server| server.set_queue(id, Some((queue, info))))?;
        info!(export = %key, sectors = info.sectors, depth = settings.depth, "serving from the disk as it is now");
        if let Some((old, _)) = served.disk.replace((disk, info)) {
            self.closing += 1;
            close(&mut self.workers, old);
        }
        Ok(())
    }

    /// Has every disk looked at.
    pub(super) fn look_at_disks(&mut self) {
        let mut disks: Vec<_> = Vec::new();
        for (key, served) in &mut self.exports {
            let Served { disk: Some((disk, _)), looking: looking @ false, .. } = served else { continue };
            *looking = true;
            disks.push((key.clone(), Arc::clone(disk)));
        }
        for disks in disks.chunks(TOGETHER) {
            let disks = disks.to_vec();
            self.workers.start(move |reports| {
                for (key, disk) in disks {
                    let look = disk.look();
                    reports.tell(Outcome::Looked { key, disk, look });
                }
            });
        }
    }

    fn looked(&mut self, key: &Key, seen: &Arc<Disk>, look: Look) -> Result<(), Ended> {
        let Some(served) = self.exports.get_mut(key) else { return Ok(()) };
        served.looking = false;
        let Some((disk, was)) = served.disk.as_mut().filter(|(disk, _)| Arc::ptr_eq(disk, seen)) else {
            return Ok(());
        };
        let Some(id) = served.target else { return Ok(()) };
        match look {
            Look::There(now) if now == *was => {}
            Look::There(now) => {
                info!(export = %key, sectors = now.sectors, was = was.sectors, "the size of the disk has changed");
                *was = now;
                self.engine.with(move |server| server.set_disk(id, now))?;
            }
            Look::Gone(why) => {
                let Some(settings) = served.actual.disk.take() else { return Ok(()) };
                let disk = Arc::clone(disk);
                served.disk = None;
                self.engine.with(move |server| server.set_queue(id, None))?;
                fail(key, served, settings, why);
                self.closing += 1;
                close(&mut self.workers, disk);
                self.notify.status(&self.status());
            }
        }
        Ok(())
    }

    /// Lets go of exports that have ended what they had begun.
    pub(super) fn see_off(&mut self) -> Result<(), Ended> {
        let leaving = self.exports.iter().filter(|(_, export)| export.actual.leaving);
        let leaving: Vec<_> =
            leaving.filter_map(|(key, export)| Some((key.clone(), export.target?))).collect();
        if leaving.is_empty() {
            return Ok(());
        }
        let gone = self.engine.with(move |server| {
            leaving
                .into_iter()
                .filter(|(_, id)| !server.has_target(*id))
                .map(|(key, _)| key)
                .collect::<Vec<_>>()
        })?;
        for key in gone {
            self.end_trace(&key)?;
            if let Some((disk, _)) = self.exports.remove(&key).and_then(|export| export.disk) {
                self.closing += 1;
                close(&mut self.workers, disk);
            }
            self.dirty = true;
        }
        Ok(())
    }
}

/// Notes that an export has no disk, and when that is tried again. Told when it is news.
fn fail(key: &Key, served: &mut Served, settings: DiskSettings, why: String) {
    if served.why.as_ref() != Some(&why) {
        let address = key.address;
        match (&served.disk, served.target) {
            (Some(_), _) => warn!("{address}: {why}; it is served as before, and this is tried again"),
            (None, Some(_)) => {
                warn!("{address}: {}: {why}; served without its disk until that comes back", key.source);
            }
            (None, None) => warn!("{address}: {why}; not served, and tried again"),
        }
    }
    served.actual.failed = Some(settings);
    served.retry = Some(Instant::now() + RETRY);
    served.why = Some(why);
}
