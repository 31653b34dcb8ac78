//! `bench net-host`: our network driver beside DPDK's, in ordinary processes and against the same device.
//!
//! ```text
//!   core 0                                                core 1
//!   VirtioNet over VhostUser, in this process  --------   testpmd, port net_vhost
//!   testpmd, port net_virtio_user: DPDK's      --------   the same
//! ```
//!
//! Frames of 64 bytes, one queue pair of 256 descriptors, in three loads: the driver transmits all that goes and the
//! device forgets it; the device makes all that goes and the driver forgets it; and 32 frames go round and round. Both
//! drivers poll, and take and give bursts of up to 32. DPDK's chooses its fastest way by itself.
//!
//! # Fairness
//!
//! The meter is the device's: how many frames it took or gave in a second, whoever was at the other end. The contenders
//! take turns, each with a device that is started for the turn; a ratio is the median of the ratios of neighbouring turns.
//! Both copy a template into each frame that they transmit, look at nothing in those that they receive, and send those
//! that go round as they are.

mod ours;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use vhost_user_tests::{Forwarding, Rate, Testpmd};

use self::ours::Ours;
use crate::options::{heading, rerun_optimised};
use crate::processors::pin;
use crate::stats::{Samples, grouped, ratio};
use crate::table::Table;

/// What is measured.
#[derive(Args)]
#[command(after_long_help = "\
frames/s: as the device counts them, the median of the turns. ratio: ours / DPDK's, above 1.00x we are faster.")]
pub struct Options {
    /// How many turns each contender has in each case
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// Length of a turn in seconds: the device says its rate once in each
    #[arg(long, value_name = "S", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    length: u64,
    /// Only these loads
    #[arg(long, value_enum, value_delimiter = ',')]
    loads: Vec<Load>,
    /// Only run our driver with the first load, until so many frames have passed: for callgrind, perf, a debugger
    #[arg(long, hide = true)]
    frames: Option<u64>,
}

/// What the frames do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Load {
    /// The driver makes them.
    Transmit,
    /// The device makes them.
    Receive,
    /// They go round.
    Loop,
}

impl Load {
    const ALL: [Self; 3] = [Self::Transmit, Self::Receive, Self::Loop];

    fn name(self) -> &'static str {
        match self {
            Self::Transmit => "transmit",
            Self::Receive => "receive",
            Self::Loop => "32 in a loop",
        }
    }

    fn device(self) -> Forwarding {
        match self {
            Self::Transmit => Forwarding::Take,
            Self::Receive => Forwarding::Make,
            Self::Loop => Forwarding::Return,
        }
    }

    fn driver(self) -> Forwarding {
        match self {
            Self::Transmit => Forwarding::Make,
            Self::Receive => Forwarding::Take,
            Self::Loop => Forwarding::Begin,
        }
    }

    fn of(self, rate: Rate) -> u64 {
        match self {
            Self::Transmit | Self::Loop => rate.received,
            Self::Receive => rate.transmitted,
        }
    }
}

/// Who drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Ours,
    Dpdk,
}

/// How long it may take until frames pass.
const START: Duration = Duration::from_secs(30);

/// Measures and prints.
///
/// # Errors
///
/// A driver does not start, or no frame passes.
pub fn run(options: &Options) -> Result<()> {
    rerun_optimised()?;
    let loads = if options.loads.is_empty() { &Load::ALL[..] } else { &options.loads };
    if let Some(frames) = options.frames {
        let device = Testpmd::device(loads[0].device(), 1);
        pin(0);
        let passed = Ours::new(&device.socket())?.drive(loads[0], |passed| passed < frames)?;
        println!("{passed} frames");
        return Ok(());
    }
    println!("{}", heading());
    let mut table =
        Table::new("Frames of 64 bytes, one queue pair, polled", ["load", "ours frames/s", "DPDK frames/s", "ratio"]);
    for &load in loads {
        let (mut ours, mut theirs, mut ratios) = <(Samples, Samples, Samples)>::default();
        for number in 0..options.turns {
            // Who begins changes from turn to turn.
            let mut order = [Who::Ours, Who::Dpdk];
            order.rotate_left(number as usize % 2);
            let mut rates = [0.0; 2];
            for who in order {
                rates[who as usize] = turn(who, load, options.length as usize)?;
            }
            ours.push(rates[0]);
            theirs.push(rates[1]);
            ratios.push(rates[0] / rates[1]);
        }
        let spread = format!("{} [{:.2}..{:.2}]", ratio(ratios.median(), 1.0), ratios.min(), ratios.max());
        table.row([load.name().to_owned(), ours.show(grouped), theirs.show(grouped), spread]);
    }
    println!("{table}");
    Ok(())
}

/// Frames in a second, the median of those that the device counted.
fn turn(who: Who, load: Load, seconds: usize) -> Result<f64> {
    let device = Testpmd::device(load.device(), 1);
    match who {
        Who::Dpdk => {
            let _driver = Testpmd::driver(&device.socket(), load.driver(), 0);
            let mut meter = Meter::new(&device, load, seconds);
            while meter.goes_on()? {
                std::thread::sleep(Duration::from_millis(50));
            }
            meter.result()
        }
        Who::Ours => drive(&device.socket(), &device, load, seconds),
    }
}

fn drive(socket: &Path, device: &Testpmd, load: Load, seconds: usize) -> Result<f64> {
    let mut driver = Ours::new(socket)?;
    // The meter sleeps and reads on the device's core, whoever drives; only the driver has its own.
    let mut meter = Meter::new(device, load, seconds);
    let done = std::sync::atomic::AtomicBool::new(false);
    let order = std::sync::atomic::Ordering::Relaxed;
    std::thread::scope(|scope| {
        let driving = scope.spawn(|| {
            pin(0);
            driver.drive(load, |_| !done.load(order))
        });
        let mut outcome = Ok(true);
        while matches!(outcome, Ok(true)) && !driving.is_finished() {
            std::thread::sleep(Duration::from_millis(50));
            outcome = meter.goes_on();
        }
        done.store(true, order);
        driving.join().map_err(|_| anyhow::anyhow!("the driver panicked"))??;
        outcome?;
        meter.result()
    })
}

/// The seconds in which frames pass all the time: not the first one, in which they begin to.
struct Meter<'a> {
    device: &'a Testpmd,
    load: Load,
    seconds: usize,
    begin: Instant,
}

impl<'a> Meter<'a> {
    fn new(device: &'a Testpmd, load: Load, seconds: usize) -> Self {
        Self { device, load, seconds, begin: Instant::now() }
    }

    fn samples(&self) -> Vec<u64> {
        let rates = self.device.rates().into_iter().map(|rate| self.load.of(rate));
        rates.skip_while(|&rate| rate == 0).skip(1).take(self.seconds).collect()
    }

    fn goes_on(&self) -> Result<bool> {
        let has_all = self.samples().len() >= self.seconds;
        let patience = START + Duration::from_secs(2 * self.seconds as u64);
        ensure!(has_all || self.begin.elapsed() < patience, "no frames pass: {}", self.device.said());
        Ok(!has_all)
    }

    fn result(&mut self) -> Result<f64> {
        let samples: Samples = self.samples().into_iter().map(|rate| rate as f64).collect();
        ensure!(samples.median() > 0.0, "no frames pass: {}", self.device.said());
        Ok(samples.median())
    }
}
