// Package course knows the folders of the course: the lessons, the exercises with their
// starters, the learner's own folders, and the tests, whose names are claims. The commands
// exercises/next and cmd/classroom use it.
package course

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
)

// Root returns the root of the repository. It is the working directory, or a folder above
// it.
func Root() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if found, _ := filepath.Glob(filepath.Join(dir, "exercises", "1-*")); len(found) > 0 {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s must be in the repository, which has a folder exercises", start)
		}
	}
}

// Mine returns the learner's folder for an exercise. For exercises/2-remember-me it is
// _mine/2-remember-me. Git ignores it. It is no part of go test ./..., because its name
// begins with an underscore.
func Mine(exercise string) string {
	return "_mine/" + path.Base(exercise)
}

// Begun reports whether the learner has a folder for an exercise.
func Begun(root, exercise string) bool {
	_, err := os.Stat(filepath.Join(root, Mine(exercise)))
	return err == nil
}

// HasStarter reports whether an exercise has a program to begin with.
func HasStarter(root, exercise string) bool {
	_, err := os.Stat(filepath.Join(root, exercise, "start"))
	return err == nil
}

// Begin copies the starter and the tests of an exercise into the learner's folder. It
// returns an error if there is no starter, or if the learner has begun already.
//
// It copies into a folder beside it first, and then renames that folder. If it stops
// halfway, the learner has no folder that is half full.
func Begin(root, exercise string) error {
	if !HasStarter(root, exercise) {
		return fmt.Errorf("%s has no starter: want a folder %[1]s/start", exercise)
	}
	if err := os.MkdirAll(filepath.Join(root, "_mine"), 0o755); err != nil {
		return err
	}
	half, err := os.MkdirTemp(filepath.Join(root, "_mine"), "half-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(half)
	for _, pattern := range []string{"start/*", "*_test.go"} {
		files, err := filepath.Glob(filepath.Join(root, exercise, pattern))
		if err != nil {
			return err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(half, filepath.Base(file)), text, 0o644); err != nil {
				return err
			}
		}
	}
	if err := os.Chmod(half, 0o755); err != nil {
		return err
	}
	return os.Rename(half, filepath.Join(root, Mine(exercise)))
}
