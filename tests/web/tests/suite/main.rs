//! Everything the static web server promises, from single functions to whole connections.

mod any_bytes;
mod client;
mod conditions;
mod connections;
mod curl;
mod dates;
mod framing;
mod limits;
mod pages;
mod serving;
mod site;
mod targets;
mod timeouts;
