"""The choices in Import Images of how images are read."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
import tifffile
from AnyQt.QtCore import Qt
from AnyQt.QtTest import QTest
from AnyQt.QtWidgets import QLabel, QLineEdit
from conftest import picture, wait_for
from Orange.data import Domain, StringVariable, Table
from Orange.widgets.tests import base

from orangecontrib.imagemining.images.sources import COLOURS, CONTRASTS
from orangecontrib.imagemining.tables.columns import rendering_of
from orangecontrib.imagemining.tables.reading import ROWS, Reading
from orangecontrib.imagemining.widgets.owimportimages import OWImportImages
from orangecontrib.imagemining.widgets.utils import importinfo
from orangecontrib.imagemining.widgets.utils.combos import KeyCombo
from orangecontrib.imagemining.widgets.utils.readingpanel import reading_of


def planes(n_depths: int = 3, low: int = 0, high: int = 4095) -> np.ndarray:
    """Return (z, c, y, x): a ramp, and one of half the height."""
    ramp = np.linspace(low, high, 100).round().astype(np.uint16).reshape(10, 10)
    return np.stack([np.stack([ramp, ramp // 2])] * n_depths)


def write(path: Path, values: np.ndarray, names: tuple[str, ...] = ("A", "B")) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"axes": "ZCYX", "Channel": {"Name": list(names)}}
    tifffile.imwrite(path, values, ome=True, metadata=metadata)


class TestReading(base.WidgetTest):
    def setUp(self) -> None:
        self.home = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.home)
        self.folder = self.home / "cells"
        write(self.folder / "1.ome.tif", planes())
        write(self.folder / "2.ome.tif", planes(2))
        self.open()

    def open(self, **settings: object) -> None:
        stored = {"__version__": 3, **settings} if settings else None
        self.widget = self.create_widget(OWImportImages, stored_settings=stored)
        self.panel = self.widget.reading_panel

    def choose_folder(self) -> None:
        self.widget.choose(str(self.folder))
        self.wait_until_finished()

    def choose(self, combo: KeyCombo, key: str) -> None:
        index = combo.findData(key)
        self.assertGreaterEqual(index, 0)
        combo.setCurrentIndex(index)
        combo.activated.emit(index)
        self.wait_until_finished()

    def choose_contrast(self, key: str) -> None:
        self.choose(self.panel.contrast_combo, key)

    def type_into(self, edit: QLineEdit, text: str) -> None:
        edit.setFocus()
        edit.selectAll()
        QTest.keyClicks(edit, text)
        QTest.keyClick(edit, Qt.Key.Key_Return)
        self.wait_until_finished()

    def output(self) -> Table:
        return self.get_output(self.widget.Outputs.data)

    def words(self) -> str:
        return rendering_of(self.output().domain["image"])

    def seen(self, part: object) -> bool:
        """Tell whether a part shows once the choices are unfolded."""
        return part.isVisibleTo(self.panel.choices)  # type: ignore[attr-defined]

    def test_nothing_is_chosen_at_first(self) -> None:
        self.assertEqual(reading_of(self.widget), Reading(tissue=0.1))
        self.choose_folder()
        self.assertEqual(self.words(), "")
        self.assertEqual(len(self.output()), 2)
        self.assertFalse(self.panel.choices.isVisibleTo(self.widget))
        self.assertEqual(
            self.panel.label.text(), "2 files are stacks (z 2–3, channels A, B)"
        )

    def test_old_workflows_read_as_before(self) -> None:
        self.open(folder=str(self.folder), exif=False)
        self.wait_until_finished()
        self.assertEqual(reading_of(self.widget), Reading(tissue=0.1))
        self.assertEqual(self.words(), "")

    def test_choices_are_those_that_there_are(self) -> None:
        self.assertEqual(tuple(importinfo.STACKS), ROWS)
        self.assertEqual(tuple(importinfo.CONTRASTS), CONTRASTS)
        name, colour = self.panel.channel_rows.combos[0]
        keys = [colour.itemData(i) for i in range(colour.count())]
        self.assertEqual(keys, list(COLOURS))

    def test_the_choices_are_folded_away_and_remembered(self) -> None:
        self.choose_folder()
        self.panel.fold_button.click()
        self.assertTrue(self.panel.choices.isVisibleTo(self.widget))
        self.assertTrue(self.widget.show_reading)
        loader = self.panel.strip.loader
        wait_for(lambda: loader.image(0) and loader.image(1))
        self.open(show_reading=True)
        self.assertTrue(self.panel.choices.isVisibleTo(self.widget))

    def test_stacks(self) -> None:
        self.choose_folder()
        combo = self.panel.stacks_combo
        for key, n, words in (
            ("middle", 2, "stack=middle"),
            ("max", 2, "stack=max"),
            ("mean", 2, "stack=mean"),
            ("planes", 5, ""),
            ("channels", 10, ""),
            ("first", 2, ""),
        ):
            self.choose(combo, key)
            self.assertEqual((len(self.output()), self.words()), (n, words))
        self.choose(combo, "planes")
        self.assertIn("5 images of 2 files", self.widget.info_label.text())
        self.assertIn("Stacks: One row per plane", self.panel.label.text())

    def test_channels_by_name(self) -> None:
        self.choose_folder()
        self.assertFalse(self.seen(self.panel.channel_rows))
        self.choose(self.panel.channels_combo, "chosen")
        self.assertTrue(self.seen(self.panel.channel_rows))
        self.assertEqual(self.widget.shown_channels, [["A", "green"], ["B", "magenta"]])
        self.assertEqual(self.words(), "channels=0:green,1:magenta")
        spare = self.panel.channel_rows.combos[2][1].currentData()
        self.assertNotIn(spare, ("green", "magenta"))
        (first, colour), (second, _), _ = self.panel.channel_rows.combos
        self.choose(first, "B")
        self.choose(colour, "yellow")
        self.choose(second, "")
        self.assertEqual(self.words(), "channels=1:yellow")
        # another folder, in which the channel has another place
        write(self.home / "other" / "3.ome.tif", planes(), ("B", "C"))
        self.widget.choose(str(self.home / "other"))
        self.wait_until_finished()
        self.assertEqual(self.words(), "channels=0:yellow")
        self.assertFalse(self.widget.Warning.no_channel.is_shown())
        write(self.home / "third" / "3.ome.tif", planes(), ("C", "D"))
        self.widget.choose(str(self.home / "third"))
        self.wait_until_finished()
        self.assertEqual(self.words(), "")
        self.assertIn("channel B", str(self.widget.Warning.no_channel))
        for key in ("grey", "rgb"):
            self.choose(self.panel.channels_combo, key)
            self.assertEqual(self.words(), f"channels={key}")
            self.assertFalse(self.widget.Warning.no_channel.is_shown())

    def test_channels_at_other_places_are_told(self) -> None:
        write(self.folder / "3.ome.tif", planes(), ("B", "A"))
        self.open(channels="chosen", shown_channels=[["B", "red"]])
        self.choose_folder()
        self.assertEqual(self.words(), "channels=1:red")
        self.assertIn("in 1 file they", str(self.widget.Warning.other_order))
        # by themselves channels are not taken by name, but ranges are
        for channels, contrast, is_told in (
            ("auto", "auto", False),
            ("auto", "range", True),
            ("grey", "range", False),
        ):
            self.choose(self.panel.channels_combo, channels)
            self.choose_contrast(contrast)
            shown = self.widget.Warning.other_order.is_shown()
            self.assertEqual(shown, is_told, (channels, contrast))

    def test_percentiles_of_each_image(self) -> None:
        self.choose_folder()
        self.assertFalse(self.seen(self.panel.percentile_row))
        self.choose_contrast("percentiles")
        self.assertTrue(self.seen(self.panel.percentile_row))
        self.assertFalse(self.seen(self.panel.range_rows))
        self.assertEqual(self.words(), "contrast=percentiles:0.1,99.9")
        low, high = self.panel.percentile_spins
        high.setValue(50)
        low.setValue(70)  # not above the other
        self.widget.update_list()
        self.wait_until_finished()
        self.assertEqual(self.words(), "contrast=percentiles:49.99,50")
        for key in ("stored", "full"):
            self.choose_contrast(key)
            self.assertEqual(self.words(), f"contrast={key}")

    def test_one_range_is_computed_and_kept(self) -> None:
        self.choose_folder()
        low, high = self.panel.percentile_spins
        low.setValue(0)
        high.setValue(100)
        self.choose_contrast("range")
        self.assertTrue(self.seen(self.panel.range_rows))
        self.assertEqual(self.words(), "contrast=range:0,4095;0,2047")
        self.assertEqual(self.widget.ranges, [["A", 0, 4095], ["B", 0, 2047]])
        edits = self.panel.range_rows.edits
        self.assertEqual(
            [[edit.text() for edit in row] for row in edits],
            [["0", "4095"], ["0", "2047"]],
        )
        # new files do not change it, and are told
        write(self.folder / "3.ome.tif", planes(1, 0, 9000))
        self.widget.reload()
        self.wait_until_finished()
        self.assertEqual(self.words(), "contrast=range:0,4095;0,2047")
        self.assertTrue(self.widget.Information.other_images.is_shown())
        self.panel.compute_button.click()
        self.wait_until_finished()
        self.assertEqual(self.words(), "contrast=range:0,9000;0,4500")
        self.assertFalse(self.widget.Information.other_images.is_shown())
        # chosen again, it is computed again
        self.widget.ranges = [["A", 1, 2], ["B", 1, 2]]
        self.choose_contrast("full")
        self.choose_contrast("range")
        self.assertEqual(self.words(), "contrast=range:0,9000;0,4500")

    def test_typed_range_is_the_users(self) -> None:
        self.choose_folder()
        self.choose_contrast("range")
        exact = [list(each) for each in self.widget.ranges]
        edits = self.panel.range_rows.edits
        self.type_into(edits[1][0], "12.5")
        self.assertEqual(self.widget.ranges_of, "typed")
        expected = {"A": exact[0][1:], "B": [12.5, exact[1][2]]}
        self.assertEqual(
            {name: [low, high] for name, low, high in self.widget.ranges}, expected
        )
        words = self.words()
        self.assertIn(";12.5,", words)
        # neither new files nor another contrast meanwhile change it
        write(self.folder / "3.ome.tif", planes(1, 0, 9000))
        self.widget.reload()
        self.wait_until_finished()
        self.assertFalse(self.widget.Information.other_images.is_shown())
        self.choose_contrast("full")
        self.choose_contrast("range")
        self.assertEqual(self.words(), words)
        self.type_into(edits[0][1], "bright")
        self.assertEqual(self.words(), words)
        self.assertNotEqual(edits[0][1].text(), "bright")

    def test_range_is_not_computed_of_a_stored_one(self) -> None:
        ranges = [["A", 1.25, 2.5], ["B", 3.0, 1e-05]]
        self.open(folder=str(self.folder), contrast="range", ranges=ranges)
        self.wait_until_finished()
        self.assertEqual(self.words(), "contrast=range:1.25,2.5;3,1e-05")
        self.assertEqual(self.widget.ranges, ranges)

    def test_large_numbers_are_written_out(self) -> None:
        ranges = [["A", -32768.0, 65535.0], ["B", 0.00012345678, 4294967295.0]]
        self.open(folder=str(self.folder), contrast="range", ranges=ranges)
        self.wait_until_finished()
        text = self.panel.label.text()
        self.assertIn("A -32768 to 65535, B 0.0001235 to 4294967295", text)
        shown = [edit.text() for pair in self.panel.range_rows.edits for edit in pair]
        self.assertEqual(shown, ["-32768", "65535", "0.000123457", "4294967295"])

    def test_range_of_a_choice_of_channels(self) -> None:
        self.open(
            folder=str(self.folder),
            contrast="range",
            channels="chosen",
            shown_channels=[["B", "red"]],
            low_percentile=0.0,
            high_percentile=100.0,
        )
        self.wait_until_finished()
        self.assertEqual(self.words(), "channels=1:red&contrast=range:0,2047")
        # a channel more is computed, the other stays as it is known
        self.widget.ranges = [["B", 5, 6]]
        _, (second, _), _ = self.panel.channel_rows.combos
        self.choose(second, "A")
        self.assertEqual(
            self.words(), "channels=1:red,0:green&contrast=range:5,6;0,4095"
        )

    def test_no_range_of_unreadable_images(self) -> None:
        bad = self.home / "bad"
        bad.mkdir()
        (bad / "a.tif").write_text("no picture")
        self.open(contrast="range")
        self.widget.choose(str(bad))
        self.wait_until_finished()
        self.assertIn("text file", str(self.widget.Warning.no_range))
        self.assertNotIn("Ordinary images", self.panel.label.text())
        self.assertEqual(len(self.output()), 1)
        self.assertEqual(self.words(), "")

    def test_cancelled_range_is_computed_the_next_time(self) -> None:
        self.choose_folder()
        self.widget.contrast = "range"
        self.widget.update_list()
        self.widget.cancel_button.click()
        self.assertIsNone(self.output())
        self.assertEqual(self.widget.ranges, [])
        self.widget.reload_button.click()
        self.wait_until_finished()
        self.assertEqual(len(self.widget.ranges), 2)

    def test_table_gets_the_same_treatment(self) -> None:
        domain = Domain([], metas=[StringVariable("file")])
        data = Table.from_list(domain, [["1.ome.tif"], ["2.ome.tif"]])
        data.domain["file"].attributes = {"type": "image", "origin": str(self.folder)}
        self.open(stacks="planes", contrast="range", high_percentile=100.0)
        self.send_signal(self.widget.Inputs.data, data)
        self.wait_until_finished()
        table = self.output()
        self.assertEqual(len(table), 5)
        self.assertIn("range", rendering_of(table.domain["file"]))
        self.assertIn("5 rows of planes", self.widget.info_label.text())
        self.assertEqual(rendering_of(data.domain["file"]), "")

    def test_slides_show_where_there_are_any(self) -> None:
        self.choose_folder()
        self.assertFalse(self.seen(self.panel.slides_row))
        image = np.asarray(picture(1, (512, 512)))
        with tifffile.TiffWriter(self.folder / "slide.tif") as tif:
            options = {"photometric": "rgb", "tile": (128, 128)}
            tif.write(image, subifds=1, **options)
            tif.write(image[::4, ::4].copy(), subfiletype=1, **options)
        self.widget.reload()
        self.wait_until_finished()
        self.assertTrue(self.seen(self.panel.slides_row))
        self.assertFalse(self.seen(self.panel.tissue_row))
        self.choose(self.panel.slides_combo, "tiles")
        self.panel.side_spin.setValue(256)
        self.panel.background_box.click()
        self.wait_until_finished()
        tiles = [str(row["image"]) for row in self.output()][2:]
        self.assertEqual(
            sorted(tiles),
            [
                f"slide.tif#xywh={x},{y},256,256"
                for x, y in ((0, 0), (0, 256), (256, 0), (256, 256))
            ],
        )

    def test_missing_package_is_named(self) -> None:
        scans = self.home / "scans"
        scans.mkdir()
        (scans / "a.dcm").write_bytes(bytes(128) + b"DICM" + bytes(200))
        hidden = {name: None for name in sys.modules if name.split(".")[0] == "pydicom"}
        with patch.dict(sys.modules, {**hidden, "pydicom": None}):
            self.widget.choose(str(scans))
            self.wait_until_finished()
        self.assertIn(
            'pip install "Orange3-ImageMining[dicom]"',
            str(self.widget.Warning.not_read),
        )
        self.assertEqual(len(self.output()), 1)

    def test_each_reason_is_told_once(self) -> None:
        for name in "abcde":
            (self.folder / f"{name}.tif").write_bytes(b"II*\0" + bytes(4))
        (self.folder / "f.dcm").write_bytes(bytes(128) + b"DICM" + bytes(200))
        hidden = {name: None for name in sys.modules if name.split(".")[0] == "pydicom"}
        with patch.dict(sys.modules, {**hidden, "pydicom": None}):
            self.choose_folder()
        text = str(self.widget.Warning.not_read)
        self.assertIn("6 of 8 files cannot be read, the first is a.tif: The TIFF", text)
        self.assertEqual(text.count("no pictures"), 1)
        self.assertIn("in it. DICOM files need", text)

    def test_very_long_names_of_channels(self) -> None:
        name = "Alexa Fluor 488 " * 20 + "488/520"
        write(self.folder / "1.ome.tif", planes(), (name, "B"))
        self.choose_folder()
        self.widget.show()
        self.choose_contrast("range")
        row = self.panel.range_rows
        label = row.findChildren(QLabel)[0]
        self.assertEqual(label.toolTip(), name)
        self.assertLess(row.sizeHint().width(), 600)

    def test_report_tells_how_images_are_read(self) -> None:
        self.choose_folder()
        self.choose(self.panel.stacks_combo, "mean")
        self.choose_contrast("percentiles")
        self.widget.send_report()
        html = self.widget.report_html
        for text in ("Mean projection", "Percentiles of each image 0.1 and 99.9"):
            self.assertIn(text, html)

    def test_damaged_settings_are_the_default(self) -> None:
        self.open(stacks="sideways", channels="purple", contrast="loud")
        self.choose_folder()
        self.assertEqual(self.words(), "")
        self.assertEqual(len(self.output()), 2)
