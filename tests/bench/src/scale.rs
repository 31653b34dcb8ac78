//! What more cores are worth.
//!
//! Two applications are looked at, in two ways each. `parallel-sum` computes and shares nothing but the result;
//! `static-web-server` has a listener on every core, and here a network card for every core, so that what the host's
//! network does is divided as well.
//!
//! ```text
//!   times          1 core, 2 cores, in turn: their ratio. Needs as many idle processors as the guest has cores, and
//!                  one more for the client of the web server
//!   instructions   1, 2, 4, 8 cores with as much work for each: what a core executes for its share has to stay the
//!                  same, whatever the host has
//!   idle           what a guest with 1 core and with 4 costs its host while nothing happens
//! ```
//!
//! Work is made long enough for boot and start not to matter, and instructions are the difference between a piece of work
//! and twice as much of it. Cores that wait for others poll for a moment and halt, so waiting hardly counts.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use crate::client::{self, Client};
use crate::counters::{Counters, Plugin};
use crate::guest::{Echo, Guest};
use crate::image::Image;
use crate::machine::{ANY_CPU, Accel, Card, Pace, Setup};
use crate::network::{Link, Netdev};
use crate::options::{self, GuestOptions};
use crate::scratch::Scratch;
use crate::stats::{Samples, grouped, ratio};
use crate::table::Table;
use crate::{toro, wrk};

/// How long a guest may take to compute, or to start serving.
const LIMIT: Duration = Duration::from_secs(300);
/// How long an answer may take under the counting plugin.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// Numbers that each core adds up for a count of instructions.
const SHARE: u64 = 1 << 21;
/// Connections to each core's card.
const CONNECTIONS: usize = 16;
/// What the web server has in its image.
const PATH: &str = "/";

/// Figures to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Figure {
    /// Guest instructions per core for a share of the work
    Instructions,
    /// Times on one core and on two
    Times,
    /// Processor time of an idle guest
    Idle,
}

/// Options of `bench scale`.
#[derive(Args, Debug)]
pub struct Options {
    #[command(flatten)]
    guest: GuestOptions,
    /// Measurements of each kind, in turn; medians are shown
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Take only these figures
    #[arg(long, value_enum, value_delimiter = ',', default_value = "instructions,times,idle")]
    only: Vec<Figure>,
    /// Numbers of cores for counts of instructions
    #[arg(long, value_delimiter = ',', value_name = "N,N", default_value = "1,2,4,8")]
    cores: Vec<u32>,
    /// Numbers that are added up when time is taken
    #[arg(long, value_name = "N", default_value_t = 1 << 26)]
    numbers: u64,
    /// Seconds of each run of wrk
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

struct Bench<'a> {
    options: &'a Options,
    sum: Image,
    web: Image,
}

/// Runs the benchmark and prints its tables.
///
/// # Errors
///
/// A tool is missing, or a guest does not do its work.
pub fn run(options: &Options) -> Result<()> {
    ensure!(options.cores.iter().all(|cores| (1..=64).contains(cores)), "--cores: 1 to 64 each");
    if options.only.contains(&Figure::Times) {
        wrk::check()?;
    }
    let bench = Bench { options, sum: Image::build("parallel-sum")?, web: Image::build("static-web-server")? };
    let scratch = Scratch::new()?;
    println!("{}", options::heading());
    for figure in &options.only {
        match figure {
            Figure::Instructions => println!("{}", bench.instructions(&Plugin::build(scratch.path())?)?),
            Figure::Times => println!("{}", bench.times()?),
            Figure::Idle => println!("{}", bench.idle()?),
        }
    }
    Ok(())
}

impl Bench<'_> {
    fn boot(
        &self,
        image: &Image,
        cores: u32,
        links: &[&Link],
        words: &str,
        counters: Option<&Counters>,
    ) -> Result<Guest> {
        let options = &self.options.guest;
        let setup = Setup {
            machine: options.machine,
            accel: if counters.is_some() { Accel::Tcg } else { options.accel },
            cpu: ANY_CPU,
            vcpus: cores,
            pace: Pace::Host,
            memory: options.memory,
            links,
            card: Card::Virtio,
            share: None,
            disk: None,
            counters,
        };
        let append = format!("{words} {}", options.append);
        let system = toro::system(&image.path, options.machine, links.first().copied(), append.trim());
        Guest::start(image.name, &system, &setup, if options.verbose { Echo::Printed } else { Echo::Silent })
    }

    /// Lets `cores` cores add up `numbers` numbers; gives the nanoseconds that the guest says it took.
    fn sum(&self, cores: u32, numbers: u64, counters: Option<&Counters>) -> Result<f64> {
        let words = format!("n={numbers} cores={cores} rounds=1");
        let mut guest = self.boot(&self.sum, cores, &[], &words, counters)?;
        let sign = format!("parallel-sum: n={numbers} cores={cores} ns=");
        guest.wait_line(&sign, LIMIT)?;
        let line = guest.console().lines().find_map(|line| line.split_once(&sign)).context("no result")?.1.to_owned();
        line.split_whitespace().next().and_then(|word| word.parse().ok()).context("no time in the result")
    }

    /// Boots the web server with `cores` cores, of which the first have a card each.
    fn serve(&self, cores: u32, links: &[&Link], counters: Option<&Counters>) -> Result<Guest> {
        let owners: Vec<_> = (0..links.len()).map(|core| format!("owner=virtio-net{core}:{core}")).collect();
        let guest = self.boot(&self.web, cores, links, &owners.join(" "), counters)?;
        for link in links {
            let answers =
                || client::fetch(link.server(), PATH, Duration::from_secs(2)).is_ok_and(|it| it.status == 200);
            let tries = LIMIT.as_secs() / 2;
            ensure!(
                (0..tries).any(|_| answers() || {
                    thread::sleep(Duration::from_millis(200));
                    false
                }),
                "no answer"
            );
        }
        Ok(guest)
    }

    fn links(&self, cores: u32) -> Result<Vec<Link>> {
        (0..cores).map(|card| Link::create(Netdev::User, card as u8)).collect()
    }

    fn times(&self) -> Result<Table> {
        let Options { repeat, numbers, seconds, .. } = self.options;
        let (mut sums, mut rates) =
            ([Samples::default(), Samples::default()], [Samples::default(), Samples::default()]);
        for run in 1..=*repeat {
            eprintln!("bench: times, run {run} of {repeat}");
            for (samples, cores) in sums.iter_mut().zip([1, 2]) {
                samples.push(self.sum(cores, *numbers, None)? / 1e6);
            }
            for (samples, cores) in rates.iter_mut().zip([1, 2]) {
                samples.push(self.rate(cores, *seconds)?);
            }
        }
        let title = format!("1 core and 2, {repeat} boots each in turn, {}", self.circumstances());
        let mut table = Table::new(title, ["application", "unit", "1 core", "2 cores", "gain"]);
        let [one, two] = &sums;
        let show = |samples: &Samples| samples.show(grouped);
        let gain = ratio(one.median(), two.median());
        table.row(["parallel-sum".into(), "ms".into(), show(one), show(two), gain]);
        let [one, two] = &rates;
        let gain = ratio(two.median(), one.median());
        table.row(["static-web-server".into(), "requests/s".into(), show(one), show(two), gain]);
        Ok(table)
    }

    /// Requests per second of `cores` cores together, each with a wrk of its own.
    fn rate(&self, cores: u32, seconds: u32) -> Result<f64> {
        let links = self.links(cores)?;
        let links: Vec<_> = links.iter().collect();
        let _guest = self.serve(cores, &links, None)?;
        thread::scope(|scope| {
            let runs: Vec<_> = links
                .iter()
                .map(|link| scope.spawn(move || wrk::run(link.server(), PATH, CONNECTIONS, seconds)))
                .collect();
            let reports = runs.into_iter().map(|run| run.join().expect("a run of wrk does not panic"));
            reports
                .map(|report| {
                    let report = report?;
                    ensure!(report.socket_errors + report.wrong_status == 0, "requests have failed: {report:?}");
                    Ok(report.per_second)
                })
                .sum()
        })
    }

    /// What the web server costs with one card, and cores that have nothing to do.
    fn idle(&self) -> Result<Table> {
        /// Long enough for what is done once a second to show.
        const TIME: Duration = Duration::from_secs(10);
        let title = format!("an idle guest, {} times {TIME:?}, {}", self.options.repeat, self.circumstances());
        let mut table = Table::new(title, ["cores", "per cent of a processor"]);
        for cores in [1, 4] {
            eprintln!("bench: idle, {cores} cores");
            let links = self.links(1)?;
            let guest = self.serve(cores, &links.iter().collect::<Vec<_>>(), None)?;
            let mut samples = Samples::default();
            for _ in 0..self.options.repeat {
                thread::sleep(Duration::from_secs(1));
                let before = guest.cpu_time()?;
                thread::sleep(TIME);
                samples.push(100.0 * guest.cpu_time()?.saturating_sub(before).as_secs_f64() / TIME.as_secs_f64());
            }
            table.row([cores.to_string(), samples.show(|value| format!("{value:.1}"))]);
        }
        Ok(table)
    }

    fn instructions(&self, plugin: &Plugin) -> Result<Table> {
        let title = format!("guest instructions, as much work for each core, {}", self.circumstances());
        let heads = ["cores", "parallel-sum, per number", "static-web-server, per request"];
        let mut table = Table::new(title, heads);
        for &cores in &self.options.cores {
            let (mut numbers, mut requests) = (Samples::default(), Samples::default());
            for run in 1..=self.options.repeat {
                eprintln!("bench: instructions of {cores} cores, run {run} of {}", self.options.repeat);
                numbers.push(self.instructions_per_number(cores, plugin)?);
                requests.push(self.instructions_per_request(cores, plugin)?);
            }
            table.row([cores.to_string(), numbers.show(|value| format!("{value:.2}")), requests.show(grouped)]);
        }
        Ok(table)
    }

    fn instructions_per_number(&self, cores: u32, plugin: &Plugin) -> Result<f64> {
        let share = u64::from(cores) * SHARE;
        let mut counts = [0; 2];
        for (count, numbers) in counts.iter_mut().zip([share, 2 * share]) {
            let counters = plugin.counters("parallel-sum", &[])?;
            self.sum(cores, numbers, Some(&counters))?;
            *count = counters.read()?.instructions;
        }
        Ok((counts[1] as f64 - counts[0] as f64) / share as f64)
    }

    fn instructions_per_request(&self, cores: u32, plugin: &Plugin) -> Result<f64> {
        const ROUNDS: usize = 40;
        let links = self.links(cores)?;
        let links: Vec<_> = links.iter().collect();
        let counters = plugin.counters("static-web-server", &[])?;
        let _guest = self.serve(cores, &links, Some(&counters))?;
        let first = links.first().context("at least one core")?;
        let body = client::fetch(first.server(), PATH, ANSWER_LIMIT)?.body;
        let connect = |link: &&Link| Client::connect(link.server(), PATH, CONNECTIONS, ANSWER_LIMIT);
        let mut clients = links.iter().map(connect).collect::<Result<Vec<_>>>()?;
        let mut measure = || -> Result<f64> {
            let before = counters.read_at_rest()?;
            thread::scope(|scope| {
                let work = |client: &mut Client| (0..ROUNDS).try_for_each(|_| client.round(&body));
                let runs: Vec<_> = clients.iter_mut().map(|client| scope.spawn(move || work(client))).collect();
                runs.into_iter().try_for_each(|run| run.join().expect("a client does not panic"))
            })?;
            let executed = counters.read_at_rest()?.instructions - before.instructions;
            Ok(executed as f64 / (ROUNDS * CONNECTIONS * links.len()) as f64)
        };
        measure()?;
        measure()
    }

    fn circumstances(&self) -> String {
        let GuestOptions { machine, memory, accel, .. } = &self.options.guest;
        let accel = if *accel == Accel::Kvm { "kvm" } else { "tcg" };
        format!("-machine {} -m {memory} -accel {accel}, a card of its own for each core", machine.name())
    }
}
