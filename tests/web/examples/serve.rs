//! Serves a directory of the host with the application's own code: `serve DIR [option=value]...`.
//!
//! For trying clients and load generators without a virtual machine. The options are those of the image.

use std::{env, path::PathBuf, process::ExitCode, thread};

use web_tests::{
    config::Config,
    host::{Directory, Running},
};

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let Some(directory) = arguments.next().map(PathBuf::from).filter(|path| path.is_dir()) else {
        eprintln!("usage: serve DIR [option=value]...");
        return ExitCode::FAILURE;
    };
    // They live as long as the process.
    let words: Vec<&'static str> = arguments.map(|word| &*word.leak()).collect();
    let lookup = |name: &str| {
        let value = |word: &&'static str| word.strip_prefix(name).and_then(|rest| rest.strip_prefix('='));
        words.iter().rev().find_map(value)
    };
    match Config::from_options(lookup) {
        Ok(config) => {
            let server = Running::start(Directory::new(&directory), config);
            println!("listening on http://{}/", server.address);
            loop {
                thread::park();
            }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
