package main

import (
	"fmt"
	"go/ast"
	"go/doc/comment"
	"go/parser"
	"go/scanner"
	"go/token"
	"html"
	"html/template"
	"path"
	"strings"
)

// part is a piece of a source file, with the comment that describes it beside it.
type part struct {
	Text template.HTML
	Code template.HTML // with line numbers
}

// names are the places where the names of a package are declared. A method has two names:
// Type.Method and .Method, and a field has .Field. The link is "" if there are two of a name.
type names map[string]string

// readNames returns the names that the Go files of a folder declare. The texts are by the
// file's place in the repository.
func readNames(texts map[string]string) names {
	found := make(names)
	for file, text := range texts {
		places := token.NewFileSet()
		parsed, err := parser.ParseFile(places, "", text, parser.SkipObjectResolution)
		if err != nil {
			continue // its own page says so
		}
		add := func(name string, at token.Pos) {
			link := fmt.Sprintf("/source/%s#L%d", file, places.Position(at).Line)
			if _, twice := found[name]; twice {
				link = ""
			}
			found[name] = link
		}
		for _, d := range parsed.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					add(d.Name.Name, d.Pos())
					continue
				}
				add(receiver(d)+"."+d.Name.Name, d.Pos())
				add("."+d.Name.Name, d.Pos())
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.TypeSpec:
						add(s.Name.Name, s.Pos())
						if fields, ok := s.Type.(*ast.StructType); ok {
							for _, f := range fields.Fields.List {
								for _, name := range f.Names {
									add("."+name.Name, name.Pos())
								}
							}
						}
					case *ast.ValueSpec:
						for _, name := range s.Names {
							add(name.Name, name.Pos())
						}
					}
				}
			}
		}
	}
	return found
}

// receiver returns the name of a method's type.
func receiver(d *ast.FuncDecl) string {
	of := d.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	if generic, ok := of.(*ast.IndexExpr); ok {
		of = generic.X
	}
	if name, ok := of.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}

// annotate cuts a Go file into its declarations. The comment above a declaration becomes
// text, and the rest is code. A name leads to where it is declared: in own, or after
// "session." in imported.
func annotate(source string, own, imported names) ([]part, error) {
	places := token.NewFileSet()
	file, err := parser.ParseFile(places, "", source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	lines := colour(source, links(places, file, own, imported))
	line := func(p token.Pos) int { return places.Position(p).Line }
	docs := []*ast.CommentGroup{file.Doc}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			docs = append(docs, d.Doc)
		case *ast.GenDecl:
			docs = append(docs, d.Doc)
		}
	}
	var parts []part
	next := 1 // the first line that is in no part yet
	var doc *ast.CommentGroup
	add := func(end int) {
		p := part{}
		if doc != nil {
			p.Text = prose(doc.Text(), own, line(doc.Pos()), line(doc.End()))
			next = line(doc.End()) + 1
		}
		p.Code = numbered(lines, next, end)
		if p.Text != "" || p.Code != "" {
			parts = append(parts, p)
		}
		next = end
	}
	for _, following := range docs {
		if following != nil {
			add(line(following.Pos()))
			doc = following
		}
	}
	add(len(lines) + 1)
	return parts, nil
}

// links returns where the names in a file lead, by their place in bytes. A name that a
// function declares for itself leads nowhere.
func links(places *token.FileSet, file *ast.File, own, imported names) map[int]string {
	found := make(map[int]string)
	at := func(name *ast.Ident) int { return places.Position(name.Pos()).Offset }
	for _, d := range file.Decls {
		local := make(map[string]bool)
		ast.Inspect(d, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Field:
				for _, name := range n.Names {
					local[name.Name] = true
				}
			case *ast.AssignStmt:
				for _, left := range n.Lhs {
					if name, ok := left.(*ast.Ident); ok && n.Tok == token.DEFINE {
						local[name.Name] = true
					}
				}
			case *ast.RangeStmt:
				for _, left := range []ast.Expr{n.Key, n.Value} {
					if name, ok := left.(*ast.Ident); ok {
						local[name.Name] = true
					}
				}
			case *ast.DeclStmt:
				for _, s := range n.Decl.(*ast.GenDecl).Specs {
					if s, ok := s.(*ast.ValueSpec); ok {
						for _, name := range s.Names {
							local[name.Name] = true
						}
					}
				}
			}
			return true
		})
		ast.Inspect(d, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if of, ok := n.X.(*ast.Ident); ok && of.Name == "session" && !local["session"] {
					found[at(n.Sel)] = imported[n.Sel.Name]
				} else {
					found[at(n.Sel)] = own["."+n.Sel.Name]
					if found[at(n.Sel)] == "" {
						found[at(n.Sel)] = imported["."+n.Sel.Name]
					}
				}
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok {
					found[at(key)] = ""
				}
			case *ast.Ident:
				if _, done := found[at(n)]; !done && !local[n.Name] {
					found[at(n)] = own[n.Name]
				}
			}
			return true
		})
	}
	return found
}

// colour returns the lines of a Go file as HTML.
func colour(source string, links map[int]string) []string {
	places := token.NewFileSet()
	file := places.AddFile("", places.Base(), len(source))
	var s scanner.Scanner
	s.Init(file, []byte(source), nil, scanner.ScanComments)
	var out strings.Builder
	last := 0
	for {
		pos, kind, text := s.Scan()
		if kind == token.EOF {
			break
		}
		if kind == token.SEMICOLON && text == "\n" {
			continue // the scanner has added it
		}
		if text == "" {
			text = kind.String()
		}
		at := file.Offset(pos)
		out.WriteString(html.EscapeString(source[last:at]))
		last = at + len(text)
		class := ""
		switch {
		case kind == token.COMMENT:
			class = "comment"
		case kind == token.STRING || kind == token.CHAR:
			class = "string"
		case kind.IsKeyword():
			class = "keyword"
		}
		if kind == token.IDENT && links[at] != "" {
			fmt.Fprintf(&out, `<a href="%s">%s</a>`, html.EscapeString(links[at]), html.EscapeString(text))
			continue
		}
		for i, line := range strings.Split(text, "\n") {
			if i > 0 {
				out.WriteString("\n")
			}
			if class == "" {
				out.WriteString(html.EscapeString(line))
			} else {
				fmt.Fprintf(&out, `<span class="%s">%s</span>`, class, html.EscapeString(line))
			}
		}
	}
	out.WriteString(html.EscapeString(source[last:]))
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
}

// numbered returns the lines from begin to before end, with their numbers. Empty lines
// around them are left out.
func numbered(lines []string, begin, end int) template.HTML {
	for begin < end && lines[begin-1] == "" {
		begin++
	}
	for begin < end && lines[end-2] == "" {
		end--
	}
	var out strings.Builder
	for i := begin; i < end; i++ {
		fmt.Fprintf(&out, "<span class=\"line\" id=\"L%d\">%5[1]d   </span>%s\n", i, lines[i-1])
	}
	return template.HTML(out.String())
}

// prose returns a doc comment as HTML. Its lines are places to link to.
func prose(text string, own names, begin, end int) template.HTML {
	reader := comment.Parser{LookupSym: func(receiver, name string) bool { return own.find(receiver, name) != "" }}
	printer := comment.Printer{
		DocLinkURL:   func(link *comment.DocLink) string { return own.find(link.Recv, link.Name) },
		HeadingLevel: 3,
		HeadingID:    func(*comment.Heading) string { return "" },
	}
	var anchors strings.Builder
	for i := begin; i <= end; i++ {
		fmt.Fprintf(&anchors, `<span id="L%d"></span>`, i)
	}
	return template.HTML(anchors.String() + string(printer.HTML(reader.Parse(text))))
}

// find returns where a doc link leads, or "" if it leads out of the package.
func (all names) find(receiver, name string) string {
	if receiver != "" {
		return all[receiver+"."+name]
	}
	return all[name]
}

// plainLines returns a file that is not Go, with line numbers.
func plainLines(text string) []part {
	lines := strings.Split(strings.TrimSuffix(html.EscapeString(text), "\n"), "\n")
	return []part{{Code: numbered(lines, 1, len(lines)+1)}}
}

// isSource reports whether a file is one that the learner reads.
func isSource(file string) bool {
	switch path.Ext(file) {
	case ".go", ".html", ".css", ".js", ".md":
		return true
	}
	return false
}
