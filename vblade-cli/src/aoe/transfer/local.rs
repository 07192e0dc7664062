//! Files as they are named on the command line: [`Local`].

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use bdev::SECTOR_SIZE;

use crate::error::Error;

/// A file, a block device, or something without a position.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) file: File,
    /// As messages call it.
    pub(crate) name: String,
    /// Where it was when it was opened, and its size, in bytes; `None` when it has no position.
    pub(crate) place: Option<Place>,
    is_block: bool,
}

/// Bytes of a file that can be read anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) position: u64,
    pub(crate) size: u64,
}

impl Place {
    /// Bytes from the position on.
    pub(crate) fn left(self) -> u64 {
        self.size.saturating_sub(self.position)
    }
}

impl Local {
    /// Opens for reading; `-` is standard input.
    pub(crate) fn input(path: &Path) -> Result<Self, Error> {
        if path == Path::new("-") {
            let stdin = io::stdin();
            if stdin.is_terminal() {
                return Err(Error::Usage(
                    "standard input is a terminal; name a file, or give it a pipe".to_owned(),
                ));
            }
            let file = stdin.as_fd().try_clone_to_owned().map_err(Error::system("use standard input"))?;
            return Self::of(file.into(), "standard input".to_owned());
        }
        let name = path.display().to_string();
        // What a shell has opened, as for <(zcat image.gz), has its other end.
        if !path.starts_with("/dev/fd") {
            refuse_pipe(path, &format!("aoe write TARGET - <{name}"))?;
        }
        let file = File::open(path).map_err(|error| cannot(&name, "read", &error))?;
        Self::of(file, name)
    }

    /// Opens for writing, and creates a file that is missing; `-` is standard output, which is written from its position on.
    pub(crate) fn output(path: &Path) -> Result<Self, Error> {
        if path == Path::new("-") {
            let file =
                io::stdout().as_fd().try_clone_to_owned().map_err(Error::system("use standard output"))?;
            // Standard output may be appended to a file, so it is a stream, whatever it is.
            return Ok(Self {
                file: file.into(),
                name: "standard output".to_owned(),
                place: None,
                is_block: false,
            });
        }
        let name = path.display().to_string();
        refuse_pipe(path, &format!("aoe read TARGET - >{name}"))?;
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(path);
        // A device such as a printer may be open for writing only.
        let file = match file {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => options.read(false).open(path),
            file => file,
        };
        let file = file.map_err(|error| cannot(&name, "write", &error))?;
        Self::of(file, name)
    }

    fn of(mut file: File, name: String) -> Result<Self, Error> {
        let kind = file.metadata().map_err(|error| cannot(&name, "look at", &error))?.file_type();
        if kind.is_dir() {
            return Err(Error::Usage(format!("{name}: is a directory; name a file or block device")));
        }
        let is_block = kind.is_block_device();
        let place = (kind.is_file() || is_block).then(|| place(&mut file)).transpose();
        let place = place.map_err(|error| cannot(&name, "look at", &error))?;
        Ok(Self { file, name, place, is_block })
    }

    /// Whether it is a file that can be made longer or shorter.
    pub(crate) fn is_resizable(&self) -> bool {
        self.place.is_some() && !self.is_block
    }

    /// Makes it `size` bytes long, if that is possible and not so.
    pub(crate) fn resize(&self, size: u64) -> Result<(), Error> {
        match self.place {
            Some(place) if self.is_resizable() && place.size != size => {
                self.file.set_len(size).map_err(|error| cannot(&self.name, "give it its length", &error))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a block device that is too small for what is to be written, before anything is.
    pub(crate) fn check_room(&self, needed: u64) -> Result<(), Error> {
        match self.place {
            Some(place) if self.is_block && place.size < needed => Err(Error::Usage(format!(
                "{}: has {} sectors, and {} are needed; choose fewer by --length",
                self.name,
                place.size / SECTOR_SIZE as u64,
                needed.div_ceil(SECTOR_SIZE as u64)
            ))),
            _ => Ok(()),
        }
    }
}

/// Refuses a pipe by name: opening it waits for its other end, and one that is open for both never tells that a reader went away.
fn refuse_pipe(path: &Path, remedy: &str) -> Result<(), Error> {
    match path.metadata() {
        Ok(data) if data.file_type().is_fifo() => {
            Err(Error::Usage(format!("{}: is a pipe; use - and redirect: {remedy}", path.display())))
        }
        // What cannot be looked at is told of when it is opened.
        _ => Ok(()),
    }
}

fn place(file: &mut File) -> io::Result<Place> {
    let position = file.stream_position()?;
    let size = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(position))?;
    Ok(Place { position, size })
}

/// A name that leads nowhere is the caller's mistake; the rest is the system's.
fn cannot(name: &str, doing: &str, error: &io::Error) -> Error {
    let text = format!("{name}: cannot {doing}: {error}");
    match error.kind() {
        ErrorKind::NotFound
        | ErrorKind::IsADirectory
        | ErrorKind::NotADirectory
        | ErrorKind::InvalidFilename => Error::Usage(text),
        _ => Error::Failed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_size_and_a_pipe_has_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("image");
        std::fs::write(&path, [1; 1000]).unwrap();
        let file = Local::input(&path).expect("a file");
        assert_eq!(file.place, Some(Place { position: 0, size: 1000 }));
        assert!(file.is_resizable());
        let null = Local::output(Path::new("/dev/null")).expect("a device");
        assert!(null.place.is_none() && !null.is_resizable());
    }

    #[test]
    fn what_cannot_be_opened_is_told_by_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let missing = Local::input(&dir.path().join("missing")).expect_err("no such file");
        assert_eq!(missing.exit_status(), 2);
        assert!(missing.to_string().contains("missing: cannot read: "), "{missing}");
        let error = Local::input(dir.path()).expect_err("a directory");
        assert!(error.to_string().ends_with("name a file or block device"), "{error}");
        assert_eq!(Local::output(dir.path()).expect_err("a directory").exit_status(), 2);
    }

    #[test]
    fn a_pipe_by_name_is_refused_before_it_is_opened() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
        assert!(made.success());
        let output = Local::output(&path).expect_err("a pipe");
        assert_eq!(output.exit_status(), 2);
        assert!(output.to_string().contains(&format!("aoe read TARGET - >{}", path.display())), "{output}");
        // Opening it for reading would wait for a writer that never comes.
        let input = Local::input(&path).expect_err("a pipe");
        assert_eq!(input.exit_status(), 2);
        assert!(input.to_string().contains(&format!("aoe write TARGET - <{}", path.display())), "{input}");
    }

    #[test]
    fn a_pipe_that_a_shell_has_opened_is_read() {
        use std::io::{Read, Write};
        use std::os::fd::AsRawFd;

        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        writer.write_all(b"image").expect("room");
        drop(writer);
        let mut input = Local::input(Path::new(&format!("/dev/fd/{}", reader.as_raw_fd()))).expect("a pipe");
        let mut text = String::new();
        input.file.read_to_string(&mut text).expect("text");
        assert_eq!((text.as_str(), input.place), ("image", None));
    }

    #[test]
    fn an_output_keeps_its_content_until_it_is_resized() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("image");
        std::fs::write(&path, [1; 1000]).unwrap();
        let file = Local::output(&path).expect("a file");
        assert_eq!(std::fs::read(&path).unwrap(), [1; 1000]);
        file.resize(1024).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 1024);
        file.check_room(1 << 40).expect("files grow");
    }
}
