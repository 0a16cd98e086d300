//! What is done from the command line: `init`, `check`, `backup`.
