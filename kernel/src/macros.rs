//! The macros of the public API.

/// Prints to the console, as `std::print!` does to standard output.
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => { $crate::console::write_fmt(::core::format_args!($($argument)*)) };
}

/// Prints a line to the console, as `std::println!` does to standard output.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($argument:tt)*) => {
        $crate::console::write_fmt(::core::format_args!("{}\n", ::core::format_args!($($argument)*)))
    };
}

/// Prints a line to the console; there is one console, so this is [`println!`](crate::println) by another name.
#[macro_export]
macro_rules! eprintln {
    ($($argument:tt)*) => { $crate::println!($($argument)*) };
}

/// Names the application's main function, which the kernel calls in the thread `main` once the machine is ready.
///
/// `main` is `fn()` or `fn() -> Result<(), E>` with `E: Debug`, as for an ordinary program. When it returns, the virtual
/// machine ends: with exit status 0, or 1 after printing the error.
///
/// ```ignore
/// #![no_std]
/// #![no_main]
///
/// toro::entry!(main);
///
/// fn main() {
///     toro::println!("hello");
/// }
/// ```
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        const _: () = {
            // The kernel calls the application by this name (src/boot.rs).
            // Not inlined, so that tools find where the application starts.
            #[unsafe(no_mangle)]
            #[inline(never)]
            extern "Rust" fn toro_application_main() -> u8 {
                $crate::process::Termination::report($main())
            }
        };
    };
}
