"""What every figure needs: colours and type, labels that keep clear of each other, SVG fit for the page."""
