//! Guest instructions and accesses to registers per HTTP request.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::contestant::{ANSWER_LIMIT, Contestant, Server, Service, Who};
use super::site::Size;
use super::{Options, circumstances};
use crate::client::Client;
use crate::counters::{Counters, Plugin};
use crate::machine::Card;
use crate::stats::{Samples, grouped, ratio};
use crate::table::Table;

/// How requests are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// One after another on one connection.
    KeptOpen,
    /// One after another, each on a connection of its own, which the client closes.
    Opened,
}

impl Manner {
    const ALL: [Self; 2] = [Self::KeptOpen, Self::Opened];

    fn title(self) -> &'static str {
        match self {
            Self::KeptOpen => "kept open",
            Self::Opened => "new connection",
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy)]
struct Case {
    size: Size,
    manner: Manner,
}

impl Case {
    fn title(self) -> String {
        format!("{}, {}", self.size.title(), self.manner.title())
    }

    /// The most of Linux's instructions that we allow ourselves, as a ratio.
    fn wanted(self) -> f64 {
        match self.size {
            Size::Line | Size::Page => 0.25,
            Size::Picture | Size::Archive => 0.5,
        }
    }
}

/// Figures of one case and one contestant, per request.
#[derive(Clone, Default)]
struct Cell {
    instructions: Samples,
    /// Accesses to the card's registers.
    card: Samples,
    /// Of these, notifications of a queue.
    notifications: Samples,
    /// Other accesses to registers in memory, and port instructions.
    others: Samples,
}

/// Measures and prints the tables.
pub fn run(options: &Options, contestants: &[Contestant], plugin: &Plugin, scratch: &Path) -> Result<()> {
    let mut guests = Vec::new();
    for contestant in contestants {
        eprintln!("bench: starting {}", contestant.name());
        let counters = plugin.of_device(contestant.name(), contestant.card().registers())?;
        let server = contestant.serve(Service::Web, options, options.memory, Some(&counters), scratch)?;
        guests.push((server, counters));
    }
    let sizes = options.sizes.iter();
    let cases: Vec<_> = sizes.flat_map(|&size| Manner::ALL.map(|manner| Case { size, manner })).collect();
    let mut cells = vec![vec![Cell::default(); contestants.len()]; cases.len()];
    for run in 1..=options.repeat {
        for (case, row) in cases.iter().zip(&mut cells) {
            eprintln!("bench: {}, run {run} of {}", case.title(), options.repeat);
            for ((contestant, (server, counters)), cell) in contestants.iter().zip(&guests).zip(row) {
                cell.take(*case, server, counters).with_context(|| contestant.name())?;
            }
        }
    }
    let mut idle = vec![String::from("idle second")];
    for (_, counters) in &guests {
        let before = counters.read_at_rest()?;
        thread::sleep(Duration::from_secs(1));
        idle.push(grouped((counters.read()?.instructions - before.instructions) as f64));
    }
    println!("{}", instructions(options, contestants, &cases, &cells, idle));
    println!("{}", accesses(options, contestants, &cases, &cells));
    Ok(())
}

impl Cell {
    /// Makes the requests of a case, and adds what they cost.
    fn take(&mut self, case: Case, server: &Server<'_>, counters: &Counters) -> Result<()> {
        /// Fills the caches on both sides, and lets the sender's window grow.
        const WARM_UP: usize = 8;
        let body = Contestant::body(server, case.size)?;
        let connect = || Client::connect(server.link.server(), case.size.path(), 1, ANSWER_LIMIT);
        let mut client = connect()?;
        let mut ask = |count| -> Result<()> {
            for _ in 0..count {
                if case.manner == Manner::Opened {
                    client = connect()?;
                }
                client.round(&body)?;
            }
            Ok(())
        };
        ask(WARM_UP)?;
        let before = counters.read_at_rest()?;
        ask(case.size.requests())?;
        let after = counters.read_at_rest()?;
        let per_request = |after: u64, before: u64| (after - before) as f64 / case.size.requests() as f64;
        self.instructions.push(per_request(after.instructions, before.instructions));
        self.card.push(per_request(after.device, before.device));
        self.notifications.push(per_request(after.notifications, before.notifications));
        self.others.push(per_request(
            after.accesses - after.device + after.ports,
            before.accesses - before.device + before.ports,
        ));
        Ok(())
    }
}

/// The pairs of columns whose ratio says something, and how the ratio is called.
fn comparisons(contestants: &[Contestant]) -> Vec<(usize, usize, String)> {
    let find = |who, card| contestants.iter().position(|it| it.who() == who && it.card() == card);
    let mut pairs = Vec::new();
    for card in [Card::Virtio, Card::E1000] {
        if let (Some(toro), Some(linux)) = (find(Who::Toro, card), find(Who::Linux, card)) {
            pairs.push((toro, linux, format!("{}: toro/linux", card.name())));
        }
    }
    for (who, name) in [(Who::Toro, "toro"), (Who::Linux, "linux")] {
        if let (Some(virtio), Some(e1000)) = (find(who, Card::Virtio), find(who, Card::E1000)) {
            pairs.push((virtio, e1000, format!("{name}: virtio/e1000")));
        }
    }
    pairs
}

fn instructions(
    options: &Options,
    contestants: &[Contestant],
    cases: &[Case],
    cells: &[Vec<Cell>],
    idle: Vec<String>,
) -> Table {
    let title = format!(
        "guest instructions per request, one after another, {}, {} runs each in turn",
        circumstances(options, options.memory),
        options.repeat
    );
    let pairs = comparisons(contestants);
    let mut heads = vec!["answer".to_owned()];
    heads.extend(contestants.iter().map(|contestant| contestant.name().to_owned()));
    heads.extend(pairs.iter().map(|(_, _, name)| name.clone()));
    heads.push("wanted".into());
    let mut table = Table::new(title, heads);
    for (case, row) in cases.iter().zip(cells) {
        let mut line = vec![case.title()];
        line.extend(row.iter().map(|cell| cell.instructions.show(grouped)));
        let median = |index: usize| row[index].instructions.median();
        line.extend(pairs.iter().map(|&(a, b, _)| ratio(median(a), median(b))));
        line.push(format!("<= {:.2}x of linux", case.wanted()));
        table.row(line);
    }
    table.row(idle);
    table
}

fn accesses(options: &Options, contestants: &[Contestant], cases: &[Case], cells: &[Vec<Cell>]) -> Table {
    let title = format!(
        "accesses to registers per request, {}: the card's (of these, notifications) + others (interrupt controller, timer)",
        circumstances(options, options.memory)
    );
    let mut heads = vec!["answer".to_owned()];
    heads.extend(contestants.iter().map(|contestant| contestant.name().to_owned()));
    let mut table = Table::new(title, heads);
    for (case, row) in cases.iter().zip(cells) {
        let mut line = vec![case.title()];
        line.extend(row.iter().zip(contestants).map(|(cell, contestant)| {
            let (card, others) = (cell.card.median(), cell.others.median());
            match contestant.card() {
                Card::Virtio => format!("{card:.2} ({:.2}) + {others:.2}", cell.notifications.median()),
                Card::E1000 => format!("{card:.2} + {others:.2}"),
            }
        }));
        table.row(line);
    }
    table
}
