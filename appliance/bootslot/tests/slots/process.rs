//! The binary as RAUC starts it, with files in the place of the variables and a program in that of `nvbootctrl`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nodi_bootslot::Slot;
use nodi_bootslot::variables::Variable;

use crate::firmware::{Image, Model, index};

const VARIABLES: [Variable; 5] = [
    Variable::RedundancyLevel,
    Variable::StatusA,
    Variable::StatusB,
    Variable::ChainNext,
    Variable::ChainStatus,
];

/// A board in a directory, booted by the model.
struct Board {
    directory: tempfile::TempDir,
    model: Model,
}

impl Board {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("efivars")).unwrap();
        let board = Self { directory, model: Model::new() };
        board.save();
        board
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn variable(&self, variable: Variable) -> PathBuf {
        self.path("efivars").join(variable.file_name())
    }

    fn save(&self) {
        for variable in VARIABLES {
            let path = self.variable(variable);
            match self.model.variables.get(&variable) {
                Some(value) => {
                    let bytes = [7_u32.to_le_bytes(), value.to_le_bytes()].concat();
                    std::fs::write(path, bytes).unwrap();
                }
                None => drop(std::fs::remove_file(path)),
            }
        }
        let [a, b] = self.model.register.unwrap();
        std::fs::write(self.path("register"), format!("{a} {b}\n")).unwrap();
        std::fs::write(self.path("running"), self.model.running.number()).unwrap();
        std::fs::write(self.path("chain"), self.model.chain.number()).unwrap();
    }

    fn boot(&mut self) -> Option<Slot> {
        self.model.variables.clear();
        for variable in VARIABLES {
            if let Ok(bytes) = std::fs::read(self.variable(variable)) {
                assert_eq!((bytes.len(), &bytes[..4]), (8, &[7, 0, 0, 0][..]), "{variable}");
                let value = u32::from_le_bytes(bytes[4..].try_into().unwrap());
                self.model.variables.insert(variable, value);
            }
        }
        let register = std::fs::read_to_string(self.path("register")).unwrap();
        let left: Vec<u32> = register.split_whitespace().map(|count| count.parse().unwrap()).collect();
        self.model.register = Some([left[0], left[1]]);
        let up = self.model.boot();
        self.save();
        up
    }

    fn run(&self, words: &[&str]) -> Output {
        let fake = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slots/nvbootctrl");
        Command::new(env!("CARGO_BIN_EXE_nodi-bootslot"))
            .args(words)
            .env("NODI_NVBOOTCTRL", fake)
            .env("NODI_EFIVARS", self.path("efivars"))
            .env("FAKE_BOARD", self.directory.path())
            .output()
            .unwrap()
    }

    /// What it prints.
    fn ask(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{words:?}: {said}");
        assert_eq!(said, "");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Exit status and reason.
    fn refused(&self, words: &[&str]) -> (i32, String) {
        let output = self.run(words);
        assert_eq!(output.stdout, b"", "{words:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), said.lines().last().unwrap_or_default().to_owned())
    }

    fn fault(&self, fault: &str) {
        std::fs::write(self.path("fault"), fault).unwrap();
    }
}

#[test]
fn an_update_there_and_one_that_fails() {
    let mut board = Board::new();
    assert_eq!(board.ask(&["get-current"]), "A\n");
    for (image, up) in [(Image::Broken, Slot::A), (Image::Good, Slot::B)] {
        assert_eq!(board.ask(&["get-primary"]), "A\n");
        board.ask(&["get-state", "A"]);
        board.ask(&["get-state", "B"]);
        assert_eq!(board.ask(&["set-state", "B", "bad"]), "");
        assert_eq!(board.ask(&["get-state", "B"]), "bad\n");
        board.model.images[index(Slot::B)] = image;
        assert_eq!(board.ask(&["set-primary", "B"]), "");
        assert_eq!(
            (board.ask(&["get-primary"]), board.ask(&["get-state", "B"])),
            ("B\n".into(), "good\n".into())
        );
        assert_eq!(board.boot(), Some(up));
        board.ask(&["set-state", &up.to_string(), "good"]);
    }
    assert_eq!(board.ask(&["get-current"]), "B\n");
    // And back, as the health gate does it.
    board.ask(&["set-state", "B", "bad"]);
    board.ask(&["set-primary", "A"]);
    assert_eq!(board.boot(), Some(Slot::A));
    assert!(
        !board.path("efivars").join("RootfsStatusSlotB-781e084c-a330-417c-b678-38e696380cb9.new").exists()
    );
}

#[test]
fn a_tool_that_does_not_do_what_it_should_is_not_believed() {
    let board = Board::new();
    board.fault("noop");
    let (code, reason) = board.refused(&["set-primary", "B"]);
    assert_eq!(code, 1);
    assert!(reason.contains("did not take slot B as the next one: A still is"), "{reason}");

    board.fault("fails");
    for words in [&["get-current"][..], &["get-primary"], &["set-primary", "B"], &["set-state", "A", "good"]]
    {
        let (code, reason) = board.refused(words);
        assert_eq!(code, 1);
        assert!(reason.contains("can not open /dev/mem"), "{words:?}: {reason}");
    }
    board.fault("garbage");
    for words in [&["get-current"][..], &["get-primary"], &["armed"], &["set-state", "B", "bad"]] {
        let (code, reason) = board.refused(words);
        assert_eq!(code, 1);
        assert!(reason.contains("cannot make sense of"), "{words:?}: {reason}");
    }
}

#[test]
fn exit_codes_are_those_of_the_contract() {
    let board = Board::new();
    assert_eq!(board.ask(&["armed"]), "");
    assert_eq!(board.refused(&["mark-good", "A"]).0, 2);
    board.ask(&["set-state", "B", "bad"]);
    assert_eq!(board.refused(&["set-state", "A", "bad"]).0, 4);
    std::fs::remove_file(board.variable(Variable::RedundancyLevel)).unwrap();
    let (code, reason) = board.refused(&["armed"]);
    assert_eq!((code, reason.contains("not armed")), (3, true), "{reason}");
    let calls = std::fs::read_to_string(board.path("calls")).unwrap();
    assert!(!calls.contains("set-active-boot-slot"), "{calls}");
    assert!(board.ask(&["--help"]).contains("set-primary A|B"));
}
