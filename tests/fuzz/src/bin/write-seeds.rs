//! Writes the seeds of [`fuzz_targets::seeds`] into the corpora.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (target, seeds) in fuzz_targets::seeds::all() {
        std::fs::create_dir_all(corpus.join(target))?;
        for (name, input) in seeds {
            std::fs::write(corpus.join(target).join(name), input)?;
        }
    }
    Ok(())
}
