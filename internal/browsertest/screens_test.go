package browsertest

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"slices"
	"testing"

	"example.com/sessions/internal/webdriver"
)

// TestScreenshots makes the pictures of the root README. This command replaces them:
//
//	SCREENSHOTS=docs/screens go test ./internal/browsertest -run TestScreenshots
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" && !webdriver.Full() {
		t.Skip("set SCREENSHOTS to a directory for the pictures")
	}
	t.Parallel()
	if dir == "" {
		dir = t.TempDir()
	}
	picture := func(v visitor, name, scheme string) {
		t.Helper()
		if name != "classroom" {
			v.resize(800, 640, scheme)
		}
		v.DevTools(nil, "Emulation.setScrollbarsHidden", map[string]any{"hidden": true})
		small := compress(t, v.screenshot())
		if len(small) > 90_000 {
			t.Errorf("the picture %s has %d bytes, want a maximum of 90,000", name, len(small))
		}
		save(t, dir, name, small)
	}

	picture(classroomPicture(t).visitor, "classroom", "light")

	v := visitor{Browser: webdriver.Open(t, webdriver.Options{NoScript: true}), t: t}
	v.site = "http://" + start(t, "lessons/05-cart")
	v.Go("/products")
	v.Click("Add to Cart: Laptop")
	v.Click("Add to Cart: Laptop")
	v.Click("Add to Cart: Headphones")
	v.Go("/cart")
	v.sees("Laptop x 2 = $1999.98", "Headphones x 1 = $99.99", "Total: $2099.97")
	picture(v, "cart", "light")

	v.site = "http://" + start(t, "lessons/08-database")
	v.Go("/login")
	v.logsIn("Username", "Password", "password")
	other := v.another()
	other.Go("/login")
	other.logsIn("Username", "Password", "password")
	picture(other, "sessions", "dark")

	v.site = "http://" + start(t, "exercises/4-multi-step")
	v.Go("/")
	v.Click("Begin a form")
	v.Type("Name", "Ada")
	v.Type("E-mail address", "ada@example.com")
	v.Click("Continue")
	v.Type("Town", "Appleton")
	picture(v, "form", "light")

	v.site = "http://" + start(t, "exercises/5-analytics")
	v.Go("/")
	for _, page := range []string{"Tea", "Coffee", "Tea", "Brewing", "Home", "Tea", "Cocoa", "Coffee", "Tea"} {
		v.Click(page)
	}
	v.Click("Report")
	v.Script(nil, "document.querySelector('h2').scrollIntoView()")
	picture(v, "report", "dark")
}

// The picture has the address that the README names, so it takes a free port 8080. Without
// SCREENSHOTS it takes another one.
func classroomPicture(t *testing.T) classroom {
	t.Helper()
	site := freeAddr(t)
	if os.Getenv("SCREENSHOTS") != "" {
		site = "localhost:8080"
	}
	c := openClassroomAt(t, webdriver.Chromium, site)
	c.resize(1360, 860, "light")
	c.Go("/lessons/05-cart")
	c.shows("wire", "GET /products")
	c.inSite(func(v visitor) { v.Click("Add to Cart: Laptop") })
	c.inSite(func(v visitor) { v.Click("Add to Cart: Laptop") })
	c.shows("wire", `{"cart":{"1":2}}`)
	return c
}

// compress returns a picture with its 256 most common colours. The edges of letters have
// many more, but each of those is rare.
func compress(t *testing.T, picture []byte) []byte {
	t.Helper()
	full, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	var colours color.Palette
	seen := make(map[color.Color]int)
	size := full.Bounds().Size()
	for i := range size.X * size.Y {
		c := full.At(i%size.X, i/size.X)
		if seen[c] == 0 {
			colours = append(colours, c)
		}
		seen[c]++
	}
	slices.SortStableFunc(colours, func(a, b color.Color) int { return cmp.Compare(seen[b], seen[a]) })
	colours = colours[:min(256, len(colours))]
	few := image.NewPaletted(full.Bounds(), colours)
	draw.Draw(few, few.Bounds(), full, image.Point{}, draw.Src)
	var small bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&small, few); err != nil {
		t.Fatal(err)
	}
	return small.Bytes()
}
