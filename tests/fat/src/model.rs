//! A tree of files, as it should be.

use std::collections::BTreeMap;

use toro_fat::{Error, Kind, NodeId, Storage, Volume};

/// Paths, with what files contain; nothing for directories.
pub type Tree = BTreeMap<String, Option<Vec<u8>>>;

/// The directory and the name that a path has.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// A path of a name in a directory.
pub fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// Finds the node of a path, held once.
///
/// # Errors
///
/// Those of `lookup`.
pub fn walk<S: Storage>(volume: &mut Volume<S>, path: &str) -> Result<NodeId, Error> {
    let mut node = volume.root();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        let next = volume.lookup(node, name.as_bytes());
        if node != volume.root() {
            volume.forget(node)?;
        }
        node = next?;
    }
    Ok(node)
}

/// All contents of a file.
///
/// # Errors
///
/// Those of `read`.
pub fn read_all<S: Storage>(volume: &mut Volume<S>, node: NodeId) -> Result<Vec<u8>, Error> {
    let mut contents = vec![0; volume.metadata(node)?.size as usize];
    let count = volume.read(node, 0, &mut contents)?;
    assert_eq!(count, contents.len(), "a file is as long as it says");
    Ok(contents)
}

/// Everything in a volume, down to `depth` directories.
///
/// # Errors
///
/// The first that occurs.
pub fn tree_of<S: Storage>(volume: &mut Volume<S>, depth: usize) -> Result<Tree, Error> {
    let mut tree = Tree::new();
    let root = volume.root();
    collect(volume, root, "", depth, &mut tree)?;
    Ok(tree)
}

fn collect<S: Storage>(
    volume: &mut Volume<S>,
    directory: NodeId,
    prefix: &str,
    depth: usize,
    tree: &mut Tree,
) -> Result<(), Error> {
    let mut cursor = 0;
    while let Some((entry, next)) = volume.list(directory, cursor)? {
        cursor = next;
        let path = join(prefix, &entry.name);
        let node = volume.lookup(directory, entry.name.as_bytes())?;
        match entry.metadata.kind {
            Kind::Directory => {
                if depth > 0 {
                    collect(volume, node, &path, depth - 1, tree)?;
                }
                tree.insert(path, None);
            }
            Kind::File => {
                let contents = read_all(volume, node)?;
                tree.insert(path, Some(contents));
            }
        }
        volume.forget(node)?;
    }
    Ok(())
}

/// Says how two trees differ, if they do.
pub fn difference(actual: &Tree, expected: &Tree) -> Option<String> {
    let paths = actual.keys().chain(expected.keys());
    let different = paths.filter(|path| actual.get(*path) != expected.get(*path)).map(|path| {
        let say = |tree: &Tree| match tree.get(path) {
            None => "nothing".to_owned(),
            Some(None) => "a directory".to_owned(),
            Some(Some(contents)) => format!("a file of {} bytes", contents.len()),
        };
        format!("{path:?}: {}, should be {}", say(actual), say(expected))
    });
    let lines: Vec<_> = different.take(8).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}
