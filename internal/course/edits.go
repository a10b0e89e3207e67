package course

import (
	"encoding/json"
	"errors"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// Edit is a change that a guide asks the learner to make, as a diff. It replaces the text
// Before by After.
type Edit struct {
	Before string // as it is in a file
	After  string // as it shall be
}

// ParseEdit reads a diff without line numbers, as the guides have them.
func ParseEdit(diff string) (e Edit) {
	for line := range strings.Lines(diff) {
		if line[0] != '+' {
			e.Before += line[1:]
		}
		if line[0] != '-' {
			e.After += line[1:]
		}
	}
	return e
}

// ErrOtherText is the error of an edit whose text is in no file.
var ErrOtherText = errors.New("no file has the text that this edit replaces, so your files differ from the guide: undo your edits first")

// Overlay is what some files are replaced by, for one run of the go command. The files on
// the disk stay as they are. The keys are the files' places in the repository, with slashes.
type Overlay map[string]string

// Apply makes an edit in the first file that has the text to replace: a file of the
// folder, or of internal/session. It returns the file and the line. If no file has the
// text, the error is [ErrOtherText].
func (o Overlay) Apply(root, folder string, e Edit) (file string, line int, err error) {
	for _, pattern := range []string{folder + "/*.go", folder + "/*.html", "internal/session/*.go"} {
		found, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil {
			return "", 0, err
		}
		for _, name := range found {
			file := path.Join(path.Dir(pattern), filepath.Base(name))
			text, changed := o[file]
			if !changed {
				read, err := os.ReadFile(name)
				if err != nil {
					return "", 0, err
				}
				text = strings.ReplaceAll(string(read), "\r\n", "\n")
			}
			if before, after, found := strings.Cut(text, e.Before); found {
				o[file] = before + e.After + after
				return file, 1 + strings.Count(before, "\n"), nil
			}
		}
	}
	return "", 0, ErrOtherText
}

// Write writes the new texts into dir. It returns the file for the flag -overlay of the go
// command.
func (o Overlay) Write(root, dir string) (config string, err error) {
	replace := make(map[string]string)
	for file, text := range o {
		name := filepath.Join(dir, strconv.Itoa(len(replace))+"_"+path.Base(file))
		replace[filepath.Join(root, filepath.FromSlash(file))] = name
		err = errors.Join(err, os.WriteFile(name, []byte(text), 0o600))
	}
	data, _ := json.Marshal(map[string]any{"Replace": replace}) // texts always have JSON
	config = filepath.Join(dir, "overlay.json")
	return config, errors.Join(err, os.WriteFile(config, data, 0o600))
}
