//! The file system, and the messages it is made of, against a server in this process that somebody else wrote.
//!
//! The server drops the rights of its thread for each request's caller and sets the umask of the process, so that these tests
//! have a program of their own.

mod operations;
mod tree;
