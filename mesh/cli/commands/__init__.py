"""One module for each command. They are imported for every help text: nothing heavy at the top."""
