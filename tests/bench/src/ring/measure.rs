//! Times of contenders that take turns.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::contender::{Contender, Events, Reaped, Shape, Who, ring_device_serve, ring_driver_reap, ring_driver_send};
use super::device::Device;
use super::{drivers, libblkio, ours};
use crate::processors::pin;

/// Where the device runs, and so what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cores {
    /// In the driver's thread, after each batch.
    One,
    /// In a thread of its own, polling.
    Two,
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    pub shape: Shape,
    pub batch: u32,
    pub events: Events,
    pub cores: Cores,
}

/// Operations that may be in flight with the device on another core; 85 requests of three descriptors fit.
const WINDOW: u32 = 64;
/// How often a side finds nothing to do before it suspects that the other is not running, and yields.
pub const IDLE: u32 = 10_000;
/// Longest that one slice may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A contender with its device, ready to go.
pub trait Bout {
    /// Does at least so many operations; returns how long each took, in nanoseconds.
    ///
    /// # Errors
    ///
    /// Something got lost, or a status byte was not written.
    fn go(&mut self, operations: u32) -> Result<f64>;
}

struct Ring<C> {
    contender: C,
    device: Device,
    case: Case,
}

impl<C: Contender> Ring<C> {
    fn new(contender: C, case: Case) -> Self {
        // SAFETY: contenders have rings of `SIZE` descriptors, which they never free.
        let device = unsafe { Device::new(contender.rings()) };
        Self { contender, device, case }
    }

    fn alone(&mut self, operations: u32) -> Result<f64> {
        let batch = black_box(self.case.batch);
        let (mut done, mut bad) = (0, 0);
        let start = Instant::now();
        while done < operations {
            black_box(ring_driver_send(&mut self.contender, batch));
            let served = ring_device_serve(&mut self.device);
            let Reaped { count, status, bytes } = ring_driver_reap(&mut self.contender);
            ensure!(count == batch && u32::from(served) == batch, "{count} of {batch} came back, {served} were served");
            black_box(bytes);
            done += count;
            bad |= status;
        }
        let elapsed = start.elapsed();
        ensure!(bad == 0, "a status byte was not written");
        Ok(elapsed.as_nanos() as f64 / f64::from(done))
    }

    fn beside(&mut self, operations: u32) -> Result<f64> {
        let stop = AtomicBool::new(false);
        let (contender, device, batch) = (&mut self.contender, &mut self.device, black_box(self.case.batch));
        let (ready, is_ready) = mpsc::channel();
        let stop = &stop;
        thread::scope(|scope| {
            scope.spawn(move || {
                pin(1);
                // Nobody listens if the driver's thread is gone already.
                let _ = ready.send(());
                device.serve_until(stop);
            });
            // A thread too, so that the main one may go on wherever it likes.
            let driver = scope.spawn(move || {
                pin(0);
                let elapsed = is_ready.recv().map_err(Into::into).and_then(|()| drive(contender, batch, operations));
                stop.store(true, Ordering::Relaxed);
                elapsed
            });
            driver.join().unwrap_or_else(|_| bail!("the driver panicked"))
        })
    }
}

/// Keeps the queue filled until so many operations are done; returns nanoseconds for each.
fn drive<C: Contender>(contender: &mut C, batch: u32, operations: u32) -> Result<f64> {
    let (mut sent, mut done, mut bad, mut idle) = (0, 0, 0, 0);
    let start = Instant::now();
    while done < operations {
        if sent < operations && sent - done + batch <= WINDOW {
            black_box(ring_driver_send(contender, batch));
            sent += batch;
        }
        let Reaped { count, status, bytes } = ring_driver_reap(contender);
        black_box(bytes);
        done += count;
        bad |= status;
        idle = if count == 0 { idle + 1 } else { 0 };
        if idle > IDLE {
            ensure!(start.elapsed() < PATIENCE, "{done} of {sent} came back");
            thread::yield_now();
        }
    }
    let elapsed = start.elapsed();
    ensure!(bad == 0, "a status byte was not written");
    Ok(elapsed.as_nanos() as f64 / f64::from(done))
}

impl<C: Contender> Bout for Ring<C> {
    fn go(&mut self, operations: u32) -> Result<f64> {
        match self.case.cores {
            Cores::One => self.alone(operations),
            Cores::Two => self.beside(operations),
        }
    }
}

/// Sets a contender up for a case.
///
/// # Errors
///
/// Its driver does not start.
pub fn bout(who: Who, case: Case) -> Result<Box<dyn Bout>> {
    let Case { shape, events, .. } = case;
    Ok(match (who, shape) {
        (Who::Ours, Shape::Buffer) => Box::new(Ring::new(ours::Buffers::new(shape, events)?, case)),
        (Who::Ours, _) => Box::new(Ring::new(ours::Requests::new(shape, events)?, case)),
        (Who::Libblkio, Shape::Buffer) => Box::new(Ring::new(libblkio::Buffers::new(events)?, case)),
        (Who::Libblkio, Shape::Request) => Box::new(Ring::new(libblkio::Requests::new(events)?, case)),
        (Who::Libblkio, Shape::Table) => bail!("libblkio's queue has no tables"),
        (Who::Drivers, Shape::Buffer) => Box::new(Ring::new(drivers::Buffers::new(events)?, case)),
        (Who::Drivers, _) => Box::new(Ring::new(drivers::Requests::new(shape, events)?, case)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contender_gets_back_what_it_sends_over_a_lap_of_the_indices() {
        for who in Who::ALL {
            for shape in [Shape::Buffer, Shape::Request, Shape::Table].into_iter().filter(|shape| who.can(*shape)) {
                for events in [Events::Off, Events::On] {
                    for (batch, cores) in [(1, Cores::One), (32, Cores::One), (32, Cores::Two)] {
                        let case = Case { shape, batch, events, cores };
                        let mut bout = bout(who, case).expect("its driver starts");
                        bout.go(70_000).unwrap_or_else(|error| panic!("{who:?} {case:?}: {error}"));
                    }
                }
            }
        }
    }
}
