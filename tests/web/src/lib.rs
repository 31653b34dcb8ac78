//! The static web server on the host.
//!
//! The modules below are the application's own files, included by path: what the tests run is what the
//! image runs. Only what touches the machine differs, and that is [`host`]: sockets, files, clocks and
//! threads of `std` behind the same traits that the image implements over `toro`.
//!
//! ```text
//!   tests/*.rs -> accept, serve, respond, ... -> Connection, Storage, Environment, Listener
//!                                                     |                          |
//!                                            host.rs (std)            adapters.rs (toro, in the image)
//! ```
#![forbid(unsafe_code)]

extern crate alloc;

#[path = "../../../kernel/examples/static-web-server/accept.rs"]
pub mod accept;
#[path = "../../../kernel/examples/static-web-server/bundled.rs"]
pub mod bundled;
#[path = "../../../kernel/examples/static-web-server/conditional.rs"]
pub mod conditional;
#[path = "../../../kernel/examples/static-web-server/config.rs"]
pub mod config;
#[path = "../../../kernel/examples/static-web-server/connection.rs"]
pub mod connection;
#[path = "../../../kernel/examples/static-web-server/copied.rs"]
pub mod copied;
#[path = "../../../kernel/examples/static-web-server/date.rs"]
pub mod date;
pub mod host;
#[path = "../../../kernel/examples/static-web-server/input.rs"]
pub mod input;
#[path = "../../../kernel/examples/static-web-server/listing.rs"]
pub mod listing;
#[path = "../../../kernel/examples/static-web-server/log.rs"]
pub mod log;
#[path = "../../../kernel/examples/static-web-server/mime.rs"]
pub mod mime;
#[path = "../../../kernel/examples/static-web-server/range.rs"]
pub mod range;
#[path = "../../../kernel/examples/static-web-server/request.rs"]
pub mod request;
#[path = "../../../kernel/examples/static-web-server/respond.rs"]
pub mod respond;
#[path = "../../../kernel/examples/static-web-server/response.rs"]
pub mod response;
#[path = "../../../kernel/examples/static-web-server/serve.rs"]
pub mod serve;
#[path = "../../../kernel/examples/static-web-server/sort.rs"]
pub mod sort;
#[path = "../../../kernel/examples/static-web-server/storage.rs"]
pub mod storage;
#[path = "../../../kernel/examples/static-web-server/target.rs"]
pub mod target;
