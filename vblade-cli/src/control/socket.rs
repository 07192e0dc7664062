//! The socket file: made with its mode, by one process at a time, removed with it.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process;

use nix::unistd::Group;
use rustix::fs::{FlockOperation, OFlags, flock};

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process answers there.
    #[error("{}: another process serves this control socket; stop that one, or give another socket", .0.display())]
    Live(PathBuf),
    /// There is something else at this path.
    #[error("{}: is no socket, and so not replaced; remove it, or give another socket", .0.display())]
    NoSocket(PathBuf),
    /// There is no such group.
    #[error(
        "group \"{0}\" of the control socket does not exist: groupadd --system {0}, or give another group"
    )]
    NoGroup(String),
    /// The system refused it.
    #[error("{}: the control socket cannot be made: {doing}", path.display())]
    System {
        /// The path of the socket.
        path: PathBuf,
        /// What failed.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// A listening socket and its file.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    made: (u64, u64),
    /// Held as long as the socket is ours.
    _lock: File,
}

impl Socket {
    /// Makes the socket at `path`, for this user and `group`, by name or number. What a dead process left there is replaced.
    pub(super) fn bind(path: &Path, group: Option<&str>) -> Result<Self, BindError> {
        let failed = |doing| move |source| BindError::System { path: path.to_owned(), doing, source };
        let group = group.map(group_id).transpose()?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o755).create(directory).map_err(failed("its directory"))?;
        let lock = take_lock(path)?;
        is_free(path)?;
        let fresh = Fresh::new(directory).map_err(failed("a directory beside it"))?;
        let (listener, made) = fresh.listen(group).map_err(failed("the socket"))?;
        // From here on it is there, and complete.
        fs::rename(fresh.socket(), path).map_err(failed("its name"))?;
        Ok(Self { listener, path: path.to_owned(), made: identity(&made), _lock: lock })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Somebody may have put another one there by hand.
        if fs::symlink_metadata(&self.path).is_ok_and(|there| identity(&there) == self.made) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

pub(crate) fn group_id(group: &str) -> Result<u32, BindError> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    let found = Group::from_name(group).ok().flatten();
    found.map(|group| group.gid.as_raw()).ok_or_else(|| BindError::NoGroup(group.to_owned()))
}

/// Two processes that start at once must not both find a dead socket. The lock file stays behind: removing it would let a third one in.
fn take_lock(path: &Path) -> Result<File, BindError> {
    let failed = |source| BindError::System { path: path.to_owned(), doing: "its lock file", source };
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
    let file = options.open(name).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(BindError::Live(path.to_owned())),
        Err(errno) => Err(failed(errno.into())),
    }
}

/// Whether the path names nothing, or a socket that nobody answers at.
fn is_free(path: &Path) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Ok(there) if there.file_type().is_socket() => {}
        _ => return Err(BindError::NoSocket(path.to_owned())),
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        _ => Err(BindError::Live(path.to_owned())),
    }
}

/// A directory that nobody else enters, where the socket gets its group and mode before anybody sees it.
struct Fresh(PathBuf);

impl Fresh {
    fn new(parent: &Path) -> io::Result<Self> {
        let path = parent.join(format!(".new.{}", process::id()));
        // What a process of this number left behind when it was killed.
        let _ = fs::remove_file(path.join("s"));
        let _ = fs::remove_dir(&path);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    fn socket(&self) -> PathBuf {
        self.0.join("s")
    }

    fn listen(&self, group: Option<u32>) -> io::Result<(UnixListener, Metadata)> {
        let path = self.socket();
        let listener = UnixListener::bind(&path)?;
        listener.set_nonblocking(true)?;
        fs::set_permissions(&path, Permissions::from_mode(0o660))?;
        if group.is_some() {
            chown(&path, None, group)?;
        }
        Ok((listener, fs::symlink_metadata(&path)?))
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.socket());
        let _ = fs::remove_dir(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("a directory");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_socket_is_for_its_user_and_group_in_a_directory_made_for_it_and_goes_with_its_process() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("run/vblade/control.sock");
        let group = rustix::process::getegid().as_raw();
        let socket = Socket::bind(&path, Some(&group.to_string())).expect("a socket");
        let there = fs::symlink_metadata(&path).expect("a file");
        assert_eq!((there.mode() & 0o7777, there.gid()), (0o660, group));
        UnixStream::connect(&path).expect("a live socket");
        drop(socket);
        assert_eq!(names(path.parent().expect("a directory")), ["control.sock.lock"]);
    }

    #[test]
    fn a_socket_in_use_is_left_alone_and_a_dead_one_is_replaced() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("s");
        let ours = Socket::bind(&path, None).expect("a socket");
        assert!(matches!(Socket::bind(&path, None), Err(BindError::Live(_))));
        UnixStream::connect(&path).expect("still there");
        drop(ours);

        // Somebody else's, who knows nothing of the lock.
        let foreign = UnixListener::bind(&path).expect("a socket");
        assert!(matches!(Socket::bind(&path, None), Err(BindError::Live(_))));
        drop(foreign);
        assert!(path.exists(), "dead, but there");
        let _ours = Socket::bind(&path, None).expect("a socket");
        UnixStream::connect(&path).expect("a live socket");
    }

    #[test]
    fn what_is_no_socket_is_not_removed() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("s");
        fs::write(&path, "precious").expect("a file");
        let error = Socket::bind(&path, None).expect_err("a file is there");
        assert!(matches!(error, BindError::NoSocket(_)), "{error:?}");
        assert_eq!(fs::read(&path).expect("a file"), b"precious");
    }

    #[test]
    fn one_that_was_put_there_later_is_not_removed() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("s");
        let socket = Socket::bind(&path, None).expect("a socket");
        fs::remove_file(&path).expect("a file");
        fs::write(&path, "another").expect("a file");
        drop(socket);
        assert!(path.exists());
    }

    #[test]
    fn a_group_that_does_not_exist_is_refused() {
        let root = tempfile::tempdir().expect("a directory");
        let error = Socket::bind(&root.path().join("s"), Some("no such group")).expect_err("no group");
        assert!(matches!(error, BindError::NoGroup(_)), "{error:?}");
        assert!(names(root.path()).is_empty());
    }
}
