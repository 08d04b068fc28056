"""The main job without a screen: from a folder of images to a folder with a report."""
