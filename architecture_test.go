package sessions

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// module is the path that all of our packages begin with.
const module = "example.com/sessions"

// mayImport says which of our packages the programs in a folder may import. The first
// line that matches a folder applies to it. No line allows the packages for tests, such as
// internal/webtest and storetest.
var mayImport = []struct {
	folder, imports *regexp.Regexp
}{
	{regexp.MustCompile(`^internal/session$`), regexp.MustCompile(`^$`)},
	{regexp.MustCompile(`^internal/session/\w+$`), regexp.MustCompile(`^internal/session$`)},
	{regexp.MustCompile(`^internal/(web(test|driver)|course)$`), regexp.MustCompile(`^$`)},
	{regexp.MustCompile(`^exercises/\d-[\w-]+/start$`), regexp.MustCompile(`^internal/session(/memstore)?$`)},
	{regexp.MustCompile(`^(exercises/next|cmd/classroom)$`), regexp.MustCompile(`^internal/(course|session)$`)},
	{regexp.MustCompile(`^(lessons|exercises|cmd)/[\w-]+$`), regexp.MustCompile(`^internal/session(/(mem|file|sql|redis)store)?$`)},
}

func TestImportsAreTheStandardLibraryAndThisModule(t *testing.T) {
	list, err := goList("std")
	if err != nil {
		t.Fatal(err)
	}
	standard := strings.Fields(list)
	for _, f := range goFiles(t) {
		for _, imported := range f.imports {
			_, ours := strings.CutPrefix(imported, module+"/")
			if !ours && !slices.Contains(standard, imported) {
				t.Errorf("%s imports %s, want only the standard library and this module", f.name, imported)
			}
		}
	}
	// The go command checks the same for everything that is linked in, with tests.
	list, err = goList("-deps", "-test", "-f", "{{if not (or .Standard .Module.Main)}}{{.ImportPath}}{{end}}", "./...")
	if err != nil {
		t.Fatal(err)
	}
	if list = strings.TrimSpace(list); list != "" {
		t.Errorf("linked in: %s, want only the standard library and this module", list)
	}
}

// Lessons, exercises and commands use stores and internal/session. Stores use
// internal/session, which uses no other package of ours.
func TestImportsRunOneWay(t *testing.T) {
	checked := 0
	for _, f := range programFiles(t) {
		folder := path.Dir(f.name)
		i := slices.IndexFunc(mayImport, func(rule struct{ folder, imports *regexp.Regexp }) bool {
			return rule.folder.MatchString(folder)
		})
		if i < 0 {
			t.Errorf("%s: mayImport has no line for %s, want one", f.name, folder)
			continue
		}
		for _, imported := range f.imports {
			ours, ok := strings.CutPrefix(imported, module+"/")
			if !ok {
				continue
			}
			checked++
			if !mayImport[i].imports.MatchString(ours) {
				t.Errorf("%s imports %s, want only what mayImport allows: %s", f.name, ours, mayImport[i].imports)
			}
		}
	}
	mustFind(t, checked, "imports of our own")
}

// The tests of internal/session must not import a package above it, because people copy
// the folder without those packages.
func TestSessionIsTestedWithoutThePackagesAboveIt(t *testing.T) {
	checked := 0
	for _, f := range goFiles(t) {
		for _, imported := range f.imports {
			ours, _ := strings.CutPrefix(imported, module+"/")
			if path.Dir(f.name) != "internal/session" || !f.test || ours == imported {
				continue
			}
			checked++
			if !strings.HasPrefix(ours, "internal/session") {
				t.Errorf("%s imports %s, want nothing outside the folder, which people copy alone", f.name, ours)
			}
		}
	}
	mustFind(t, checked, "imports of tests")
}

func TestSomePackagesAreImportedInOnePlaceOrNowhere(t *testing.T) {
	allowed := map[string][]string{
		"crypto/hmac":  {"internal/session/sign.go"},
		"math/rand":    nil,
		"math/rand/v2": {"internal/session/filestore/sweep.go"}, // the shard that a sweep begins with is not a secret
		"encoding/gob": nil,
		"plugin":       nil,
		"unsafe":       nil,
		"C":            nil,
	}
	var signers []string
	for _, f := range programFiles(t) {
		for _, imported := range f.imports {
			if files, restricted := allowed[imported]; restricted && !slices.Contains(files, f.name) {
				t.Errorf("%s imports %s, want it only in %q", f.name, imported, files)
			}
			if imported == "crypto/hmac" {
				signers = append(signers, f.name)
			}
		}
	}
	mustFind(t, len(signers), "file that signs")
}

// go.mod has two lines, and there is no other go.mod except under testdata.
func TestModuleRequiresNothing(t *testing.T) {
	lines := 0
	for line := range strings.Lines(read(t, "go.mod")) {
		line, _, _ = strings.Cut(line, "//")
		if fields := strings.Fields(line); len(fields) > 0 {
			lines++
			if len(fields) != 2 || fields[0] != "module" && fields[0] != "go" {
				t.Errorf("go.mod says %q, want only module and go", strings.TrimSpace(line))
			}
		}
	}
	if lines != 2 {
		t.Errorf("go.mod has %d lines, want 2", lines)
	}
	found := 0
	walk(t, func(name string) {
		switch base := path.Base(name); {
		case base == "go.mod" && strings.Contains(name, "testdata/"):
			if !strings.HasPrefix(read(t, name), "module "+module+"/") {
				t.Errorf("%s begins %.60q, want a module below %s", name, read(t, name), module)
			}
		case base == "go.mod":
			found++
		case base == "go.work", strings.HasPrefix(name, "vendor/"), base == "go.sum" && !strings.Contains(name, "testdata/"):
			t.Errorf("there is a %s, want none", name)
		}
	})
	if found != 1 {
		t.Errorf("%d go.mod outside testdata, want 1", found)
	}
}

// A reader must not miss anything: no file that is never built, no code that runs without
// a call, and no names that only tests can use.
func TestNothingHappensBehindTheReader(t *testing.T) {
	var names []string
	for _, f := range goFiles(t) {
		names = append(names, f.name)
	}
	walk(t, func(name string) {
		if notGo := regexp.MustCompile(`\.(c|cc|cpp|cxx|m|h|s|S|syso|a|so)$`); notGo.MatchString(name) {
			t.Errorf("%s would be linked in, want only Go", name)
		}
		if strings.HasSuffix(name, ".go") && !strings.Contains(name, "testdata/") && !slices.Contains(names, name) {
			t.Errorf("%s is in no package, want it in one", name)
		}
	})
	testNames := regexp.MustCompile(`^(Test|Benchmark|Fuzz|Example)([^a-z]|$)`)
	inPackage := 0
	for _, f := range goFiles(t) {
		if !builtSomewhere(t, f.name) {
			t.Errorf("%s is built on no system, want one or more", f.name)
		}
		if path.Base(f.name) == "export_test.go" {
			t.Errorf("there is a %s, want none", f.name)
		}
		for _, declared := range f.syntax.Decls {
			if function, ok := declared.(*ast.FuncDecl); ok && function.Recv == nil && function.Name.Name == "init" {
				t.Errorf("%s has an init function, want none", f.name)
			}
		}
		if f.test && !strings.HasSuffix(f.syntax.Name.Name, "_test") {
			inPackage++
			for _, e := range exported(f.syntax) {
				if !testNames.MatchString(e.name) {
					t.Errorf("%s exports %s for tests, want no exported name", f.name, e.name)
				}
			}
		}
	}
	mustFind(t, inPackage, "tests inside packages")
}

// builtSomewhere reports whether the file is built on one of these systems.
func builtSomewhere(t *testing.T, name string) bool {
	t.Helper()
	return slices.ContainsFunc([]string{"linux", "darwin", "windows", "plan9"}, func(system string) bool {
		c := build.Default
		c.GOOS, c.GOARCH, c.CgoEnabled = system, "amd64", false
		ok, err := c.MatchFile(path.Dir(name), path.Base(name))
		if err != nil {
			t.Fatal(err)
		}
		return ok
	})
}

// A type's comment may begin with an article. For a constant, a variable or a field, the
// comment of its group or the one at the end of its line is enough.
func TestExportedNamesAreDocumented(t *testing.T) {
	checked := 0
	for _, f := range programFiles(t) {
		for _, e := range exported(f.syntax) {
			checked++
			switch {
			case e.doc == "":
				t.Errorf("%s: %s has no comment, want one", f.name, e.name)
			case e.begins && !regexp.MustCompile(`^((A|An|The) )?`+e.name+`\b`).MatchString(e.doc):
				t.Errorf("%s: the comment of %s begins %.30q, want its name first", f.name, e.name, e.doc)
			}
		}
	}
	mustFind(t, checked, "exported names")
}

// Each package has exactly one package comment. A starter's comment is also read in the
// learner's folder, where the program is no command of ours and has another name.
func TestPackagesAreDocumented(t *testing.T) {
	comments := make(map[string]int)
	for _, f := range programFiles(t) {
		folder := path.Dir(f.name)
		comments[folder] += 0 // it may have none
		if f.syntax.Doc == nil {
			continue
		}
		comments[folder]++
		want := "Package " + f.syntax.Name.Name + " "
		if f.syntax.Name.Name == "main" {
			want = "Command " + path.Base(folder) + " "
		}
		if starter := regexp.MustCompile(`^exercises/(\d)-[\w-]+/start$`).FindStringSubmatch(folder); starter != nil {
			want = "This program is where you begin exercise " + starter[1] + ". "
		}
		if !strings.HasPrefix(f.syntax.Doc.Text(), want) {
			t.Errorf("%s: the package comment begins %.50q, want %q", f.name, f.syntax.Doc.Text(), want)
		}
	}
	for folder, n := range comments {
		if n != 1 {
			t.Errorf("%s has %d package comments, want 1", folder, n)
		}
	}
	mustFind(t, len(comments), "packages")
}

// export is an exported name and its comment.
type export struct {
	name, doc string
	begins    bool // the comment must begin with the name
}

// exported returns the exported names of a file: functions, types with their methods and
// fields, constants and variables.
func exported(file *ast.File) []export {
	var all []export
	for _, declared := range file.Decls {
		switch d := declared.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d))) {
				all = append(all, export{d.Name.Name, d.Doc.Text(), true})
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				all = append(all, exportedSpecs(d, spec)...)
			}
		}
	}
	return all
}

// receiver returns the name of a method's type.
func receiver(method *ast.FuncDecl) string {
	t := method.Recv.List[0].Type
	for {
		switch of := t.(type) {
		case *ast.StarExpr:
			t = of.X
		case *ast.IndexExpr:
			t = of.X
		case *ast.IndexListExpr:
			t = of.X
		case *ast.Ident:
			return of.Name
		default:
			return ""
		}
	}
}

// exportedSpecs is exported for one line of a declaration.
func exportedSpecs(d *ast.GenDecl, spec ast.Spec) []export {
	var all []export
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if !s.Name.IsExported() {
			return nil
		}
		doc := s.Doc.Text()
		if !d.Lparen.IsValid() {
			doc = d.Doc.Text()
		}
		all = append(all, export{s.Name.Name, doc, true})
		switch kind := s.Type.(type) {
		case *ast.StructType:
			all = append(all, exportedFields(s.Name.Name, kind.Fields)...)
		case *ast.InterfaceType:
			all = append(all, exportedFields(s.Name.Name, kind.Methods)...)
		}
	case *ast.ValueSpec:
		doc := s.Doc.Text() + s.Comment.Text()
		if !d.Lparen.IsValid() {
			doc = d.Doc.Text() + s.Comment.Text()
		}
		for _, name := range s.Names {
			if name.IsExported() {
				all = append(all, export{name.Name, doc, s.Comment == nil})
			}
		}
	}
	return all
}

// exportedFields is exported for the fields or the methods of a type.
func exportedFields(of string, fields *ast.FieldList) []export {
	var all []export
	for _, field := range fields.List {
		for _, name := range field.Names {
			if name.IsExported() {
				all = append(all, export{of + "." + name.Name, field.Doc.Text() + field.Comment.Text(), false})
			}
		}
	}
	return all
}

// goFile is a Go source file of ours.
type goFile struct {
	name    string // from the root, with slashes
	test    bool
	syntax  *ast.File
	imports []string
}

// goFiles returns the files of all packages, for every system.
func goFiles(t *testing.T) []goFile {
	t.Helper()
	files, err := parsedOnce()
	if err != nil {
		t.Fatal(err)
	}
	mustFind(t, len(files), "Go files")
	return files
}

// programFiles returns the files that are not tests.
func programFiles(t *testing.T) []goFile {
	t.Helper()
	return slices.DeleteFunc(slices.Clone(goFiles(t)), func(f goFile) bool { return f.test })
}

var parsedOnce = sync.OnceValues(parseAll)

// parseAll returns the Go files that the go command finds.
func parseAll() ([]goFile, error) {
	root, err := filepath.Abs(".")
	if err != nil {
		return nil, err
	}
	list, err := goList("-e", "-json", "./...")
	if err != nil {
		return nil, err
	}
	var all []goFile
	for decoder := json.NewDecoder(strings.NewReader(list)); ; {
		var p struct {
			Dir                                                          string
			GoFiles, CgoFiles, IgnoredGoFiles, TestGoFiles, XTestGoFiles []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		for _, name := range slices.Concat(p.GoFiles, p.CgoFiles, p.IgnoredGoFiles, p.TestGoFiles, p.XTestGoFiles) {
			relative, err := filepath.Rel(root, filepath.Join(p.Dir, name))
			if err != nil {
				return nil, err
			}
			f, err := parse(filepath.ToSlash(relative))
			if err != nil {
				return nil, err
			}
			all = append(all, f)
		}
	}
}

// parse returns the Go file of a name.
func parse(name string) (goFile, error) {
	syntax, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return goFile{}, err
	}
	f := goFile{name: name, test: strings.HasSuffix(name, "_test.go"), syntax: syntax}
	for _, spec := range syntax.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return goFile{}, err
		}
		f.imports = append(f.imports, imported)
	}
	return f, nil
}

// goList runs go list without network, and returns its output.
func goList(args ...string) (string, error) {
	var stderr bytes.Buffer
	list := exec.Command("go", append([]string{"list"}, args...)...)
	list.Env = append(os.Environ(), "GOPROXY=off", "GOWORK=off")
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("go list %v: %w\n%s", args, err, stderr.String())
	}
	return string(out), nil
}

// walk calls f with the name of each file of the repository, from the root and
// with slashes.
func walk(t *testing.T, f func(name string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		// A reader does the exercises in _mine, and may have anything there.
		if entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") && name != "." || name == "_mine") {
			return filepath.SkipDir
		}
		if !entry.IsDir() {
			f(filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// mustFind fails the test if it found nothing to check, because then it proves nothing.
func mustFind(t *testing.T, found int, what string) {
	t.Helper()
	if found == 0 {
		t.Errorf("found no %s, want some to check", what)
	}
}
