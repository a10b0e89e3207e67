package main

// failures counts the failed logins with each name. The zero value is ready for use.
//
// TODO, in part 2: at most 20,000 names.
type failures struct{}

// begin counts an attempt with a name. It returns an error if the name has a pause. The
// tests call it.
func (f *failures) begin(name string) error { return nil }
