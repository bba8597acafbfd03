//! Real files in a directory that is gone afterwards.

use super::*;

#[test]
fn output_of_former_lives_is_put_aside_and_the_oldest_forgotten() {
    let folder = Folder::new("aside");
    let mut files = Files::default();
    for life in 1..=8 {
        files.open("a".into(), folder.path());
        assert_eq!(
            folder.read("stdout"),
            "",
            "a life begins with an empty file"
        );
        files.write("a", Stream::Stdout, format!("life {life}").as_bytes());
        files.flush();
    }
    let kept = [
        "stdout", "stdout.1", "stdout.2", "stdout.3", "stdout.4", "stdout.5",
    ];
    let lives: Vec<String> = kept.map(|name| folder.read(name)).into();
    let want: Vec<String> = (3..=8).rev().map(|life| format!("life {life}\n")).collect();
    assert_eq!(lives, want);
    assert_eq!(folder.count(), 7, "and a stderr that was never written");
}

#[test]
fn lines_are_in_the_file_when_it_is_flushed_or_closed() {
    let folder = Folder::new("flush");
    let mut files = Files::default();
    files.write("a", Stream::Stdout, b"before");
    files.open("a".into(), folder.path());
    files.write("a", Stream::Stdout, b"one");
    files.write("a", Stream::Stderr, b"two");
    assert_eq!(folder.read("stdout"), "");
    files.flush();
    assert_eq!(
        (folder.read("stdout"), folder.read("stderr")),
        ("one\n".into(), "two\n".into())
    );
    files.write("a", Stream::Stdout, b"three");
    files.close("a");
    assert_eq!(folder.read("stdout"), "one\nthree\n");
    files.write("a", Stream::Stdout, b"after");
    files.flush();
    assert_eq!(folder.read("stdout"), "one\nthree\n");
}

#[test]
fn much_output_is_written_before_anybody_flushes() {
    let folder = Folder::new("much");
    let mut files = Files::default();
    files.open("a".into(), folder.path());
    let line = [b'x'; 1023];
    for _ in 0..64 {
        files.write("a", Stream::Stdout, &line);
    }
    assert_eq!(folder.read("stdout").len(), 64 * 1024);
}

#[test]
fn a_file_that_cannot_be_written_costs_its_lines_and_no_others() {
    let folder = Folder::new("full");
    std::os::unix::fs::symlink("/dev/full", folder.0.join("stdout")).unwrap();
    let mut files = Files::default();
    files.open("a".into(), folder.path());
    for _ in 0..3 {
        files.write("a", Stream::Stdout, b"lost");
        files.write("a", Stream::Stderr, b"kept");
        files.flush();
    }
    assert_eq!(files.open["a"].stdout.as_ref().unwrap().lost, 3);
    files.close("a");
    assert_eq!(folder.read("stderr"), "kept\nkept\nkept\n");
}

#[test]
fn files_have_the_names_they_are_given_and_no_name_is_no_file() {
    let folder = Folder::new("names");
    let mut files = Files::new(Outputs {
        stdout_file: Some("out.log".to_owned()),
        stderr_file: None,
        ..Outputs::default()
    });
    files.open("a".into(), folder.path());
    files.write("a", Stream::Stdout, b"kept");
    files.write("a", Stream::Stderr, b"nowhere");
    files.flush();
    assert_eq!(folder.read("out.log"), "kept\n");
    assert_eq!(folder.count(), 1);
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("supervisor-files-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> Option<&str> {
        self.0.to_str()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    fn count(&self) -> usize {
        fs::read_dir(&self.0).unwrap().count()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
